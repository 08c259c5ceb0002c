//! The query page in a real browser, on the connector with samples in the emulator. Pictures of it are
//! `target/tmp/query-*.png`.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use prom_wire::prompb::{BucketSpan, Histogram, Label, Sample, TimeSeries, histogram};
use reqwest::Url;
use serde_json::json;
use tokio::net::TcpListener;

use crate::browser::Browser;
use crate::stage::Stage;

/// The user of the page, whose password needs an escape in an address.
const USER: &str = "grace:p%40ss";
/// The time of the newest samples: 2026-01-01T00:00:00Z.
const END_S: i64 = 1_767_225_600;
const END: &str = "2026-01-01T00:00:00.000Z";
const INTERVAL_S: i64 = 15;
/// The number of intervals between the first and the last sample: an hour.
const INTERVALS: i64 = 240;
/// A label value that would run a script if it became markup.
const MARKUP: &str = "<img src=x onerror=\"document.title='hacked'\">";
/// More series than a graph draws.
const MANY: i64 = 211;

/// A browser, and a connector with samples.
struct Scene {
    stage: Stage,
    browser: Browser,
}

impl Scene {
    async fn start() -> Self {
        let hash = bcrypt::hash("p@ss", 4).unwrap();
        let users = format!("--basic-auth-users=grace:{hash}");
        let stage = Stage::start(vec![], &[&users]).await;
        stage.write(samples()).await;
        let mut browser = Browser::start().await;
        browser.look(1200, 850, "light").await;
        Self { stage, browser }
    }

    /// Opens the page with a state at the end of the samples, and waits for the result.
    async fn open(&mut self, state: &[(&str, &str)]) {
        let url = address(&self.stage.connector.url, state);
        self.browser.open(&url).await;
        self.ended().await;
    }

    /// Waits until no query is in flight, and its result is drawn.
    async fn ended(&mut self) {
        let script = "document.querySelector('#run').textContent === 'Run' && !document.querySelector('.chart:empty')";
        self.browser.until(script).await;
    }

    async fn text_of(&mut self, selector: &str) -> String {
        self.browser
            .text(&format!(
                "document.querySelector({}).textContent",
                json!(selector)
            ))
            .await
    }

    /// Returns the texts of all elements, joined by line breaks.
    async fn texts_of(&mut self, selector: &str) -> String {
        let script =
            "[...document.querySelectorAll(SELECTOR)].map((it) => it.textContent).join('\\n')";
        self.browser
            .text(&script.replace("SELECTOR", &json!(selector).to_string()))
            .await
    }

    async fn count(&mut self, selector: &str) -> i64 {
        let script = format!("document.querySelectorAll({}).length", json!(selector));
        self.browser.evaluate(&script).await.as_i64().unwrap()
    }

    fn assert_no_problems(&mut self) {
        assert_eq!(self.browser.take_problems(), Vec::<String>::new());
    }
}

/// Returns the address of the page at `url`, with the user and a state.
fn address(url: &str, state: &[(&str, &str)]) -> String {
    let mut address = Url::parse(&format!("{url}/query")).unwrap();
    let mut state = state.to_vec();
    state.push(("end", END));
    let fragment = Url::parse_with_params("http://localhost", state).unwrap();
    address.set_fragment(fragment.query());
    address.to_string().replacen("//", &format!("//{USER}@"), 1)
}

fn series(labels: &[(&str, &str)], samples: impl Iterator<Item = (i64, f64)>) -> TimeSeries {
    let label = |(name, value): &(&str, &str)| Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    let mut labels: Vec<_> = labels.iter().map(label).collect();
    labels.sort_by(|a, b| a.name.cmp(&b.name));
    let sample = |(index, value): (i64, f64)| Sample {
        value,
        timestamp: (END_S - (INTERVALS - index) * INTERVAL_S) * 1_000,
    };
    TimeSeries {
        labels,
        samples: samples.map(sample).collect(),
        ..TimeSeries::default()
    }
}

fn samples() -> Vec<TimeSeries> {
    let all = || (0..=INTERVALS).map(|index| (index, index as f64));
    let last = || std::iter::once((INTERVALS, 1.0));
    let counter = |instance, factor: f64| {
        let labels = [
            ("__name__", "http_requests_total"),
            ("instance", instance),
            ("job", "api"),
        ];
        series(
            &labels,
            all().map(move |(index, value)| (index, value * factor)),
        )
    };
    let mut samples = vec![
        counter("a", 3.0),
        counter("b", 6.0),
        series(
            &[("__name__", "gappy")],
            all().filter(|(index, _)| !(80..160).contains(index)),
        ),
        series(&[("__name__", "odd"), ("title", MARKUP)], last()),
        TimeSeries {
            histograms: vec![Histogram {
                count: Some(histogram::Count::CountInt(3)),
                sum: 4.5,
                zero_count: Some(histogram::ZeroCount::ZeroCountInt(0)),
                positive_spans: vec![BucketSpan {
                    offset: 0,
                    length: 2,
                }],
                positive_deltas: vec![1, 1],
                timestamp: END_S * 1_000,
                ..Histogram::default()
            }],
            ..series(&[("__name__", "latency")], std::iter::empty())
        },
    ];
    samples.extend((0..MANY).map(|number| {
        let number = number.to_string();
        series(&[("__name__", "many"), ("number", &number)], last())
    }));
    samples
}

#[tokio::test]
async fn results_are_tables() {
    let mut scene = Scene::start().await;
    scene
        .open(&[("expr", "sort_desc(http_requests_total)")])
        .await;
    let rows = scene.texts_of("#panel tbody tr").await;
    let series = |instance, value| {
        format!(r#"http_requests_total{{instance="{instance}", job="api"}}{value}"#)
    };
    assert_eq!(rows, [series("b", 1440), series("a", 720)].join("\n"));
    let status = scene.text_of("#status").await;
    assert!(
        status.starts_with("2 series, 2 samples read, 0."),
        "{status}"
    );
    scene.browser.picture("table").await;

    scene.open(&[("expr", "1 / 3")]).await;
    assert_eq!(
        scene.texts_of("#panel tbody tr").await,
        "scalar0.3333333333333333"
    );
    scene.open(&[("expr", "\"<b>\"")]).await;
    assert_eq!(scene.texts_of("#panel tbody tr").await, "string<b>");
    scene.open(&[("expr", "absent_metric")]).await;
    assert_eq!(scene.text_of("#panel").await, "The result is empty.");

    // Times are those of the zone: this one is 5:45 before UTC.
    scene.open(&[("expr", "gappy[30s]")]).await;
    assert_eq!(
        scene.texts_of("td > div").await,
        "239 @ 2026-01-01 05:44:45\n240 @ 2026-01-01 05:45:00"
    );
    scene.open(&[("expr", "gappy[30s]"), ("utc", "1")]).await;
    assert_eq!(
        scene.texts_of("td > div").await,
        "239 @ 2025-12-31 23:59:45\n240 @ 2026-01-01 00:00:00"
    );

    scene.open(&[("expr", "latency")]).await;
    assert_eq!(
        scene.text_of("#panel td").await,
        "count 3, sum 4.52 buckets(0.5, 1]1(1, 2]2"
    );
    scene.open(&[("expr", "rate(gappy[5m])")]).await;
    let notices = scene.texts_of("#notices li").await;
    assert!(
        notices.starts_with("Info: PromQL info: metric might not be a counter"),
        "{notices}"
    );

    // A value with markup is a text everywhere, and the policy would stop it too.
    for tab in ["table", "graph"] {
        scene
            .open(&[("expr", "odd"), ("tab", tab), ("step", "15s")])
            .await;
        let escaped = MARKUP.replace('"', "\\\"");
        let shown = scene.text_of("#panel").await;
        assert!(
            shown.contains(&format!(r#"odd{{title="{escaped}"}}"#)),
            "{shown}"
        );
        assert_eq!(scene.count("img").await, 0);
    }
    scene.assert_no_problems();
    let insert = format!(
        "document.body.insertAdjacentHTML('beforeend', {})",
        json!(MARKUP.replace("=x", "=data:,"))
    );
    scene.browser.evaluate(&insert).await;
    scene
        .browser
        .until("document.querySelector('img').complete")
        .await;
    assert_eq!(
        scene.text_of("title").await,
        "Query - Timestream connector for Prometheus"
    );
    let problems = scene.browser.take_problems();
    assert!(
        problems
            .iter()
            .any(|it| it.contains("Content Security Policy")),
        "{problems:?}"
    );
}

#[tokio::test]
async fn errors_mark_their_place() {
    let mut scene = Scene::start().await;
    // Columns are bytes: the umlauts before have two each.
    scene
        .open(&[("expr", "\n# Häufigkeit: ä\nsum(gappy) + \"ä\" summ(gappy)")])
        .await;
    let error = scene.text_of("#error").await;
    assert!(
        error.contains("2:19: parse error: unexpected identifier \"summ\""),
        "{error}"
    );
    assert_eq!(scene.text_of("mark").await, "summ");
    assert_eq!(
        scene.text_of("#marks").await,
        "\n# Häufigkeit: ä\nsum(gappy) + \"ä\" summ(gappy)"
    );
    assert_eq!(
        scene
            .browser
            .evaluate("document.querySelector('#expression').ariaInvalid")
            .await,
        "true"
    );
    scene.browser.picture("error").await;
    // The mark is gone with the first change.
    scene.browser.write(" ").await;
    assert_eq!(scene.count("mark").await, 0);

    scene.open(&[("expr", "sum(")]).await;
    assert_eq!(
        scene.text_of("mark").await,
        "\u{2003}",
        "{}",
        scene.text_of("#error").await
    );
    scene
        .open(&[
            ("expr", "gappy"),
            ("tab", "graph"),
            ("range", "1h"),
            ("step", "1ms"),
        ])
        .await;
    let error = scene.text_of("#error").await;
    assert!(
        error.contains("exceeded maximum resolution of 11,000 points"),
        "{error}"
    );
    assert_eq!(scene.count("mark").await, 0);
    // The browser checks the form.
    scene
        .open(&[("expr", "1"), ("tab", "graph"), ("range", "1 hour")])
        .await;
    scene.browser.press("Enter", 0).await;
    assert_eq!(scene.count("#range:invalid").await, 1);
    scene.assert_no_problems();
}

#[tokio::test]
async fn results_are_graphs() {
    let mut scene = Scene::start().await;
    let graph = [
        ("tab", "graph"),
        ("range", "1h"),
        ("step", "15s"),
        ("utc", "1"),
    ];
    let with = |expression| [&[("expr", expression)], &graph[..]].concat();
    scene.open(&with("http_requests_total")).await;
    assert_eq!(scene.count("svg path").await, 2);
    let ticks = "[...document.querySelectorAll('svg text')].map((it) => it.textContent).join(' ')";
    assert_eq!(
        scene.browser.text(ticks).await,
        "0 0.5k 1.0k 23:00 23:05 23:10 23:15 23:20 23:25 23:30 23:35 23:40 23:45 23:50 23:55 01-01"
    );

    // The crosshair at the right end, then one step to the left.
    scene
        .browser
        .evaluate("document.querySelector('svg').focus()")
        .await;
    scene.browser.press("ArrowLeft", 0).await;
    let tip = scene.text_of(".tip").await;
    let series = |instance, value| {
        format!(r#"http_requests_total{{instance="{instance}", job="api"}}{value}"#)
    };
    assert_eq!(
        tip,
        format!(
            "2026-01-01 00:00:00{}{}",
            series("b", 1440),
            series("a", 720)
        )
    );
    scene.browser.press("ArrowLeft", 0).await;
    let tip = scene.text_of(".tip").await;
    assert_eq!(
        tip,
        format!(
            "2025-12-31 23:59:45{}{}",
            series("b", 1434),
            series("a", 717)
        )
    );
    scene.browser.press("Escape", 0).await;
    assert_eq!(scene.count(".tip[hidden]").await, 1);
    // The pointer shows the nearest series first.
    let place = "(() => { const it = document.querySelector('svg').getBoundingClientRect(); \
                 return [it.left, it.right, it.top, it.bottom]; })()";
    let place = scene.browser.evaluate(place).await;
    let [left, right, top, bottom] = [0, 1, 2, 3].map(|index| place[index].as_f64().unwrap());
    let low = top + (bottom - top) * 0.6;
    scene.browser.mouse("mouseMoved", right - 20.0, low).await;
    let tip = scene.text_of(".tip div").await;
    assert!(tip.contains("instance=\"a\""), "{tip}");
    scene.browser.picture("graph").await;

    // A series can be hidden: the axis is that of the others.
    scene
        .browser
        .evaluate("document.querySelectorAll('.legend button')[1].click()")
        .await;
    assert_eq!(scene.count("svg path").await, 1);
    assert_eq!(scene.count(".legend [aria-pressed=false]").await, 1);
    assert!(
        scene
            .browser
            .text(ticks)
            .await
            .starts_with("0 200 400 600 23:00")
    );
    scene
        .browser
        .evaluate("document.querySelectorAll('.legend button')[1].click()")
        .await;
    assert_eq!(scene.count("svg path").await, 2);

    // Dragging over the right half shows half an hour.
    let middle = (left + right) / 2.0;
    scene.browser.mouse("mousePressed", middle, low).await;
    scene.browser.mouse("mouseMoved", right - 100.0, low).await;
    scene.browser.mouse("mouseReleased", right - 8.0, low).await;
    scene.ended().await;
    let range = scene
        .browser
        .text("document.querySelector('#range').value")
        .await;
    let range: f64 = range.strip_suffix('s').unwrap().parse().unwrap();
    assert!((1_700.0..1_900.0).contains(&range), "{range}");

    // The browser's history has the states.
    scene.browser.evaluate("history.back()").await;
    scene
        .browser
        .until("document.querySelector('#range').value === '1h'")
        .await;
    scene.ended().await;
    let shown = scene.browser.text(ticks).await;
    assert!(shown.contains("23:00"), "{shown}");

    // Where samples are missing, the line is interrupted. It is missing for longer than the lookback.
    scene.open(&with("gappy")).await;
    let outline = scene
        .browser
        .text("document.querySelector('svg path').getAttribute('d')")
        .await;
    assert_eq!(outline.matches('M').count(), 2, "{outline}");
    scene.browser.picture("gap").await;
    scene.open(&with("many")).await;
    assert_eq!(scene.count("svg path").await, 200);
    assert_eq!(
        scene.text_of(".note").await,
        "The first 200 of 211 series are shown."
    );
    scene.open(&with("latency")).await;
    assert!(
        scene
            .text_of(".note")
            .await
            .starts_with("Native histograms are not drawn")
    );
    scene.open(&with("vector(1e308) or vector(-1e308)")).await;
    scene.open(&with("2")).await;
    assert_eq!(scene.text_of(".legend").await, "{}");
    for expression in ["1e308", "-5e-324", "NaN", "1e16", "-0"] {
        scene.open(&with(expression)).await;
        let is_drawn = "!/NaN|Infinity|undefined/.test(document.querySelector('svg').outerHTML)";
        scene.browser.until(is_drawn).await;
        assert!(scene.count("svg .grid").await > 3, "{expression}");
    }
    scene.assert_no_problems();
}

#[tokio::test]
async fn names_and_values_are_completed() {
    let mut scene = Scene::start().await;
    scene.open(&[]).await;
    let options = "#options:not([hidden]) [role=option] > :first-child";
    scene.browser.write("http").await;
    scene
        .browser
        .until("document.querySelector('#expression').ariaExpanded === 'true'")
        .await;
    assert_eq!(scene.texts_of(options).await, "http_requests_total");
    scene.browser.press("ArrowDown", 0).await;
    let active = "document.getElementById(document.querySelector('#expression').getAttribute('aria-activedescendant'))";
    assert_eq!(
        scene.browser.text(&format!("{active}.textContent")).await,
        "http_requests_totalmetric"
    );
    scene.browser.press("Enter", 0).await;
    assert_eq!(scene.count("#options[hidden]").await, 1);
    scene.browser.write("{").await;
    scene
        .browser
        .until("document.querySelectorAll('#options:not([hidden]) li').length === 2")
        .await;
    assert_eq!(scene.texts_of(options).await, "instance\njob");
    scene.browser.picture("completion").await;
    scene.browser.write("ins").await;
    scene
        .browser
        .until("document.querySelectorAll('#options:not([hidden]) li').length === 1")
        .await;
    scene.browser.press("Tab", 0).await;
    scene
        .browser
        .until("document.querySelector('#options').textContent === 'avaluebvalue'")
        .await;
    scene.browser.press("ArrowUp", 0).await;
    scene.browser.press("Enter", 0).await;
    scene.browser.write("}").await;
    let expression = "document.querySelector('#expression').value";
    assert_eq!(
        scene.browser.text(expression).await,
        "http_requests_total{instance=\"b\"}"
    );

    // Enter runs, Shift+Enter does not.
    scene.browser.press("Enter", 8).await;
    assert_eq!(scene.count("#panel td").await, 0);
    scene.browser.press("Enter", 0).await;
    scene
        .browser
        .until("document.querySelector('#panel td')?.textContent === '1440'")
        .await;

    // Words of PromQL, labels of the metrics in the expression, and durations.
    scene
        .open(&[("expr", "rate(http_requests_total[5m])")])
        .await;
    for (written, wanted) in [(" / predict_l", "predict_linear"), ("unle", "unless")] {
        scene.browser.write(written).await;
        let is_there =
            format!("document.querySelector('#options').textContent.startsWith('{wanted}')");
        scene.browser.until(&is_there).await;
        scene.browser.press("Escape", 0).await;
        assert_eq!(scene.count("#options[hidden]").await, 1);
        scene.browser.write(" ").await;
    }
    scene.open(&[("expr", "http_requests_total / ")]).await;
    scene.browser.write("sum by (").await;
    scene
        .browser
        .until("document.querySelector('#options').textContent === 'instancegroupingjobgrouping'")
        .await;
    scene.browser.press("Tab", 0).await;
    scene.browser.write(") (gappy[").await;
    scene
        .browser
        .until("document.querySelector('#options').textContent.startsWith('1mduration')")
        .await;

    // The last expressions, the newest first.
    scene.open(&[]).await;
    scene.browser.press("ArrowDown", 0).await;
    let recent = scene.texts_of(options).await;
    assert!(
        recent.starts_with("http_requests_total /\nrate(http_requests_total[5m])\n"),
        "{recent}"
    );
    scene.browser.press("ArrowDown", 0).await;
    scene.browser.press("Enter", 0).await;
    assert_eq!(
        scene.browser.text(expression).await,
        "http_requests_total /"
    );
    scene.assert_no_problems();
}

#[tokio::test]
async fn the_page_fits_its_window_and_the_scheme_of_colours() {
    let mut scene = Scene::start().await;
    let background = "getComputedStyle(document.body).backgroundColor";
    for (scheme, expected) in [("light", "rgb(246, 248, 250)"), ("dark", "rgb(18, 23, 29)")] {
        for width in [390, 1200] {
            scene.browser.look(width, 850, scheme).await;
            for (name, state) in [
                (
                    "table",
                    [
                        ("expr", "odd or http_requests_total or latency"),
                        ("tab", "table"),
                    ],
                ),
                (
                    "graph",
                    [("expr", "rate(http_requests_total[5m])"), ("tab", "graph")],
                ),
                ("long", [("expr", MARKUP), ("tab", "graph")]),
            ] {
                scene.open(&state).await;
                assert_eq!(scene.browser.text(background).await, expected);
                let overflow =
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth";
                let overflow = scene.browser.evaluate(overflow).await;
                assert_eq!(overflow, 0, "{name} at {width}");
                scene
                    .browser
                    .picture(&format!("{scheme}-{width}-{name}"))
                    .await;
            }
        }
    }
    // From the start page and back.
    scene
        .browser
        .open(
            &scene
                .stage
                .connector
                .url
                .replacen("//", &format!("//{USER}@"), 1),
        )
        .await;
    scene
        .browser
        .evaluate("document.querySelector('nav a').click()")
        .await;
    scene
        .browser
        .until("document.querySelector('h1')?.textContent === 'Query'")
        .await;
    scene
        .browser
        .evaluate("document.querySelector('nav a').click()")
        .await;
    scene
        .browser
        .until("document.querySelector('h1')?.textContent.startsWith('Timestream connector')")
        .await;
    scene.assert_no_problems();
}

/// Forwards requests under `/stage` as API Gateway does, those that have the word slow in their query never.
async fn forward(State(target): State<String>, request: Request) -> Response {
    let path = request.uri().path_and_query().unwrap().as_str();
    let path = path
        .strip_prefix("/stage")
        .expect("requests stay under the prefix");
    if path.contains("slow") {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let mut forwarded = soak::http::client().get(format!("{target}{path}"));
    if let Some(credential) = request.headers().get("authorization") {
        forwarded = forwarded.header("authorization", credential);
    }
    let response = forwarded.send().await.unwrap();
    let mut builder = Response::builder().status(response.status());
    for name in [
        "content-type",
        "content-security-policy",
        "www-authenticate",
    ] {
        if let Some(value) = response.headers().get(name) {
            builder = builder.header(name, value);
        }
    }
    builder
        .body(Body::from(response.bytes().await.unwrap()))
        .unwrap()
}

#[tokio::test]
async fn the_page_works_under_a_prefix_and_cancels() {
    let mut scene = Scene::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/stage", listener.local_addr().unwrap());
    let router = Router::new()
        .fallback(forward)
        .with_state(scene.stage.connector.url.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    scene
        .browser
        .open(&address(&url, &[("expr", "gappy")]))
        .await;
    scene.ended().await;
    assert_eq!(scene.texts_of("#panel td").await, "240");
    scene
        .browser
        .open(&address(&url, &[("expr", "slow")]))
        .await;
    assert_eq!(scene.text_of("#run").await, "Cancel");
    scene
        .browser
        .until("document.querySelector('#status').textContent.startsWith('Running for ')")
        .await;
    assert_eq!(scene.count("#panel[aria-busy=true]").await, 1);
    scene
        .browser
        .evaluate("document.querySelector('#run').click()")
        .await;
    scene.ended().await;
    let status = scene.text_of("#status").await;
    assert!(status.starts_with("Cancelled after "), "{status}");
    scene.assert_no_problems();
}
