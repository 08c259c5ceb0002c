//! Responses to clients that find out about a server: its version, flags and features, and what a connector has none of,
//! such as rules and targets.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use promql::Function;

use super::endpoint::{Call, Data, serve};
use super::json::write_string;
use crate::http::App;
use crate::http::invocation_limits::OptionalLimits;

/// The version of Prometheus whose API this is. Grafana and others decide by the version what to send: before 2.24
/// they would request series to find labels.
const PROMETHEUS_VERSION: &str = "3.15.0";

/// Defines handlers of `GET` requests whose responses have no parameters.
macro_rules! handlers {
    ($($(#[$doc:meta])+ $name:ident: $data:expr;)+) => {$(
        $(#[$doc])+
        pub(in crate::http) async fn $name(
            State(app): State<App>,
            limits: OptionalLimits,
            request: Request,
        ) -> Response {
            serve(app, limits, request, stringify!($name), |call| {
                let data: fn(&Call<'_>) -> Vec<u8> = $data;
                Box::pin(async move { Ok(Data::Json(data(call)).into()) })
            })
            .await
        }
    )+};
}

handlers! {
    /// `GET /api/v1/status/buildinfo`.
    buildinfo: |_| build_info();
    /// `GET /api/v1/status/flags`: the flags that Prometheus has too.
    flags: flags_json;
    /// `GET /api/v1/status/config`: that of Prometheus is empty.
    config: |_| br#"{"yaml":""}"#.to_vec();
    /// `GET /api/v1/status/walreplay`: there is no log to replay.
    walreplay: |_| br#"{"min":0,"max":0,"current":0}"#.to_vec();
    /// `GET /api/v1/features`.
    features: features_json;
    /// `GET /api/v1/rules`.
    rules: |_| br#"{"groups":[]}"#.to_vec();
    /// `GET /api/v1/alerts`.
    alerts: |_| br#"{"alerts":[]}"#.to_vec();
    /// `GET /api/v1/alertmanagers`.
    alertmanagers: |_| br#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#.to_vec();
    /// `GET /api/v1/targets`.
    targets: |_| br#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}"#.to_vec();
    /// `GET /api/v1/targets/metadata`.
    targets_metadata: |_| b"[]".to_vec();
    /// `GET /api/v1/scrape_pools`.
    scrape_pools: |_| br#"{"scrapePools":[]}"#.to_vec();
}

/// Returns the version of Prometheus, with the connector's own as the revision.
fn build_info() -> Vec<u8> {
    let fields = [
        ("version", PROMETHEUS_VERSION),
        ("revision", env!("CARGO_PKG_VERSION")),
        ("branch", env!("CARGO_PKG_NAME")),
        ("buildUser", ""),
        ("buildDate", ""),
        ("goVersion", ""),
    ];
    object(fields, write_string)
}

fn flags_json(call: &Call<'_>) -> Vec<u8> {
    let settings = &call.app.settings;
    let promql = &settings.promql;
    let features = [
        ("promql-binop-fill-modifiers", promql.parser.fill_modifiers),
        ("promql-delayed-name-removal", promql.delayed_name_removal),
        (
            "promql-experimental-functions",
            promql.parser.experimental_functions,
        ),
        (
            "promql-extended-range-selectors",
            promql.parser.extended_range_selectors,
        ),
        ("promql-per-step-stats", promql.per_step_statistics),
        ("type-and-unit-labels", promql.type_and_unit_labels),
    ];
    let enabled = features.iter().filter(|(_, is_on)| *is_on);
    let enabled: Vec<&str> = enabled.map(|(name, _)| *name).collect();
    let origin = settings.cors_origin.as_ref();
    let lookback = u64::try_from(promql.lookback_ms).unwrap_or_default();
    let flags = [
        ("enable-feature", enabled.join(",")),
        (
            "query.lookback-delta",
            duration(Duration::from_millis(lookback)),
        ),
        ("query.max-samples", promql.max_samples.to_string()),
        ("query.timeout", duration(settings.query_timeout)),
        (
            "web.cors.origin",
            origin.map(|it| it.text().to_owned()).unwrap_or_default(),
        ),
        ("web.enable-admin-api", "false".to_owned()),
        ("web.enable-lifecycle", "false".to_owned()),
        ("web.enable-otlp-receiver", "false".to_owned()),
        ("web.enable-remote-write-receiver", "true".to_owned()),
    ];
    object(flags, |text, json| write_string(&text, json))
}

/// Returns a duration as Prometheus writes it, such as `1h30m`.
fn duration(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (unit, milliseconds) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        let count = rest / milliseconds;
        rest %= milliseconds;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    match text.is_empty() {
        true => "0s".to_owned(),
        false => text,
    }
}

/// Operators and aggregations that need no option.
const OPERATORS: &str = "!= !~ % * + - / < </ <= == =~ > >/ >= @ ^ and atan2 avg bottomk count count_values \
                         group max min or quantile stddev stdvar sum topk unless";

/// Parts of PromQL that need no option.
const PROMQL: &str = "at_modifier bool by group_left group_right ignoring negative_offset offset on \
                      per_query_lookback_delta subqueries without";

/// Returns what is on and off, by the names that Prometheus has for it; parts of Prometheus that have no counterpart
/// here, such as scraping, are not listed.
fn features_json(call: &Call<'_>) -> Vec<u8> {
    let promql = &call.app.settings.promql;
    let parser = &promql.parser;
    let api = [
        ("exclude_alerts", true),
        ("label_values_match", true),
        ("query_stats", true),
        ("query_warnings", true),
        ("remote_write_receiver", true),
        ("time_range_labels", true),
        ("time_range_series", true),
        ("admin", false),
        ("lifecycle", false),
        ("openapi_3.1", false),
        ("openapi_3.2", false),
        ("otlp_write_receiver", false),
        ("search", false),
    ];
    let language = [
        ("anchored", parser.extended_range_selectors),
        ("delayed_name_removal", promql.delayed_name_removal),
        ("duration_expr", parser.duration_expressions),
        ("fill", parser.fill_modifiers),
        ("fill_left", parser.fill_modifiers),
        ("fill_right", parser.fill_modifiers),
        ("per_step_stats", promql.per_step_statistics),
        ("smoothed", parser.extended_range_selectors),
        ("type_and_unit_labels", promql.type_and_unit_labels),
    ];
    let language = PROMQL.split(' ').map(|name| (name, true)).chain(language);
    let functions = Function::all().iter();
    let functions = functions.map(|it| {
        (
            it.name,
            !it.is_experimental || parser.experimental_functions,
        )
    });
    let aggregations = ["limit_ratio", "limitk"].map(|name| (name, parser.experimental_functions));
    let operators = OPERATORS.split(' ').map(|name| (name, true));
    let groups: [(&str, BTreeMap<&str, bool>); 5] = [
        ("api", api.into()),
        ("promql", language.collect()),
        ("promql_functions", functions.collect()),
        ("promql_operators", operators.chain(aggregations).collect()),
        (
            "tsdb",
            [("exemplar_storage", true), ("native_histograms", true)].into(),
        ),
    ];
    // Operators are not escaped, as in Prometheus, so these bytes are not written as other strings.
    serde_json::to_vec(&BTreeMap::from(groups)).expect("names and booleans are JSON")
}

fn object<T>(
    fields: impl IntoIterator<Item = (&'static str, T)>,
    write: impl Fn(T, &mut Vec<u8>),
) -> Vec<u8> {
    let mut json = vec![b'{'];
    for (index, (name, value)) in fields.into_iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        write_string(name, &mut json);
        json.push(b':');
        write(value, &mut json);
    }
    json.push(b'}');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_prometheus() {
        for (seconds, expected) in [
            (0.0, "0s"),
            (120.0, "2m"),
            (90.5, "1m30s500ms"),
            (90_000.0, "1d1h"),
        ] {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), expected);
        }
    }
}
