use super::super::testing::{Database, histogram};
use super::*;
use crate::ParserOptions;
use crate::engine::{Engine, EngineOptions, Progress};
use crate::storage::Fetched;

const MINUTE: i64 = 60_000;

fn database() -> Database {
    Database::default()
        .floats("m{instance='a', job='1', x='own'}", MINUTE, &[1.0, 2.0])
        .floats("m{instance='b', job='1'}", MINUTE, &[3.0, 4.0])
        .samples(
            "target_info{instance='a', job='1', data='A', x='info'}",
            &[(0, 1.0)],
        )
        .samples("target_info{instance='c', job='1', data='C'}", &[(0, 1.0)])
        .samples(
            "build_info{instance='a', job='1', version='7'}",
            &[(0, 1.0)],
        )
}

#[test]
fn labels_are_those_of_the_same_target_that_the_series_lacks() {
    let lines = [
        r#"m{data="A", instance="a", job="1", x="own"} 1"#,
        r#"m{instance="b", job="1"} 3"#,
    ];
    assert_eq!(database().instant("info(m)", 0).lines(), lines);
    let lines = [
        r#"m{data="A", instance="a", job="1", x="own"} 1@0 2@60000"#,
        r#"m{instance="b", job="1"} 3@0 4@60000"#,
    ];
    let tested = database().range("info(m)", 0, MINUTE, MINUTE);
    assert_eq!(tested.lines(), lines);
    let without_targets = Database::default().floats("m{a='1'}", MINUTE, &[5.0]);
    assert_eq!(
        without_targets.instant("info(m)", 0).lines(),
        [r#"m{a="1"} 5"#]
    );
}

#[test]
fn the_second_argument_selects_metrics_and_labels() {
    let database = database();
    for (selector, lines) in [
        // A condition on a label selects that label alone, and drops series without it.
        (
            "{data='A'}",
            &[r#"m{data="A", instance="a", job="1", x="own"} 1"#][..],
        ),
        ("{data='B'}", &[]),
        (
            "{data=~'|A', version='7'}",
            // The default metric has no version.
            &[],
        ),
        (
            "{data=~'.*'}",
            &[
                r#"m{data="A", instance="a", job="1", x="own"} 1"#,
                r#"m{instance="b", job="1"} 3"#,
            ],
        ),
        (
            "{__name__='build_info'}",
            &[
                r#"m{instance="a", job="1", version="7", x="own"} 1"#,
                r#"m{instance="b", job="1"} 3"#,
            ],
        ),
        (
            "{__name__!='build_info'}",
            &[
                r#"m{data="A", instance="a", job="1", x="own"} 1"#,
                r#"m{instance="b", job="1"} 3"#,
            ],
        ),
        (
            "{__name__=~'.+_info', version=~'.+'}",
            &[r#"m{instance="a", job="1", version="7", x="own"} 1"#],
        ),
    ] {
        let tested = database.instant(&format!("info(m, {selector})"), 0);
        assert_eq!(tested.lines(), lines, "{selector}");
    }
}

#[test]
fn info_series_stay_as_they_are() {
    let lines = [
        r#"target_info{data="A", instance="a", job="1", x="info"} 1"#,
        r#"target_info{data="C", instance="c", job="1"} 1"#,
    ];
    let tested = database().instant("info(target_info)", 0);
    assert_eq!(tested.lines(), lines);
    // Also if a condition is not fulfilled.
    let tested = database().instant("info(target_info, {data='X'})", 0);
    assert_eq!(tested.lines(), lines);
}

#[test]
fn targets_may_lack_an_instance_or_a_job() {
    let database = Database::default()
        .samples("m{job='1'}", &[(0, 1.0)])
        .samples("m{instance='a'}", &[(0, 2.0)])
        .samples("m", &[(0, 3.0)])
        .samples("target_info{job='1', data='J'}", &[(0, 1.0)])
        .samples("target_info{instance='a', data='I'}", &[(0, 1.0)])
        .samples("target_info{instance='a', job='1', data='B'}", &[(0, 1.0)]);
    let lines = [
        r#"m{data="J", job="1"} 1"#,
        r#"m{data="I", instance="a"} 2"#,
        "m 3",
    ];
    assert_eq!(database.instant("info(m)", 0).lines(), lines);
}

#[test]
fn the_newest_info_series_is_used_at_each_step() {
    let base: Vec<f64> = (0..8).map(f64::from).collect();
    let database = Database::default()
        .floats("m{instance='a', job='1'}", MINUTE, &base)
        .samples("target_info{instance='a', job='1', v='1'}", &[(0, 1.0)])
        .samples(
            "target_info{instance='a', job='1', v='2'}",
            &[(2 * MINUTE, 1.0)],
        );
    let lines = [
        r#"m{instance="a", job="1"} 7@420000"#,
        r#"m{instance="a", job="1", v="1"} 0@0 1@60000"#,
        r#"m{instance="a", job="1", v="2"} 2@120000 3@180000 4@240000 5@300000 6@360000"#,
    ];
    let tested = database.range("info(m)", 0, 7 * MINUTE, MINUTE);
    assert_eq!(tested.lines(), lines);
    // Where the label is demanded, the values without it are dropped.
    let tested = database.range("info(m, {v=~'.+'})", 0, 7 * MINUTE, MINUTE);
    assert_eq!(tested.lines(), &lines[1..]);
}

#[test]
fn histograms_get_labels_too() {
    let one = |time| (time, histogram(1.0, &[1.0]));
    let database = Database::default()
        .histograms("h{instance='a', job='1'}", &[one(0), one(MINUTE)])
        .samples("h{instance='a', job='1'}", &[(2 * MINUTE, 5.0)])
        .samples(
            "target_info{instance='a', job='1', v='1'}",
            &[(MINUTE, 1.0)],
        );
    let value = "{count:1, sum:1, (0.5,1]:1}";
    let lines = [
        format!(r#"h{{instance="a", job="1"}} {value}@0"#),
        format!(r#"h{{instance="a", job="1", v="1"}} {value}@60000 5@120000"#),
    ];
    let tested = database.range("info(h)", 0, 2 * MINUTE, MINUTE);
    assert_eq!(tested.lines(), lines);
}

#[test]
fn equally_new_info_series_are_an_error_where_there_are_values() {
    let database = Database::default()
        .samples("m{instance='a', job='1'}", &[(0, 1.0)])
        .samples(
            "target_info{instance='a', job='1', v='1'}",
            &[(0, 1.0), (MINUTE, 1.0)],
        )
        .samples(
            "target_info{instance='a', job='1', v='2'}",
            &[(MINUTE, 1.0)],
        )
        .samples(
            "target_info{instance='b', job='1', v='1'}",
            &[(MINUTE, 1.0)],
        )
        .samples(
            "target_info{instance='b', job='1', v='2'}",
            &[(MINUTE, 1.0)],
        );
    assert_eq!(
        database.instant("info(m)", MINUTE).error(),
        r#"found duplicate series for info metric: existing {__name__="target_info", instance="a", job="1", v="1"} @ 60000, new {__name__="target_info", instance="a", job="1", v="2"} @ 60000"#
    );
    let line = r#"m{instance="a", job="1", v="1"} 1"#;
    assert_eq!(database.instant("info(m)", 0).lines(), [line]);
    // No value is there at the second step.
    let other = Database::default()
        .samples(
            "m{instance='a', job='1'}",
            &[
                (0, 1.0),
                (MINUTE, f64::from_bits(prom_model::STALE_MARKER_BITS)),
            ],
        )
        .samples(
            "target_info{instance='a', job='1', v='1'}",
            &[(0, 1.0), (MINUTE, 1.0)],
        )
        .samples(
            "target_info{instance='a', job='1', v='2'}",
            &[(MINUTE, 1.0)],
        );
    let tested = other.range("info(m)", 0, MINUTE, MINUTE);
    assert_eq!(tested.lines(), [r#"m{instance="a", job="1", v="1"} 1@0"#]);
}

#[test]
fn info_metrics_must_agree_on_labels() {
    let database = Database::default()
        .samples("m{instance='a', job='1'}", &[(0, 1.0)])
        .samples("n{instance='a', job='1', v='0'}", &[(0, 1.0)])
        .samples("a_info{instance='a', job='1', v='1', w='1'}", &[(0, 1.0)])
        .samples("b_info{instance='a', job='1', v='2', w='1'}", &[(0, 1.0)]);
    let query = |metric: &str, label: &str| {
        format!("info({metric}, {{__name__=~'._info', {label}=~'.*'}})")
    };
    let error = database.instant(&query("m", "v"), 0);
    assert_eq!(error.error(), "conflicting label: v");
    let line = r#"m{instance="a", job="1", w="1"} 1"#;
    assert_eq!(database.instant(&query("m", "w"), 0).lines(), [line]);
    // Labels that the series has itself are not compared.
    let line = r#"n{instance="a", job="1", v="0"} 1"#;
    assert_eq!(database.instant(&query("n", "v"), 0).lines(), [line]);
}

#[test]
fn info_series_have_no_histograms() {
    let database = Database::default()
        .samples("m{instance='a', job='1'}", &[(0, 1.0)])
        .histograms(
            "target_info{instance='a', job='1'}",
            &[(0, histogram(1.0, &[1.0]))],
        );
    assert_eq!(
        database.instant("info(m)", 0).error(),
        r#"this should be an info metric, with float samples: {__name__="target_info", instance="a", job="1"}"#
    );
}

#[test]
fn equal_labels_after_adding_are_an_error() {
    let database = Database::default()
        .samples("m{instance='a', job='1'}", &[(0, 1.0)])
        .samples("m{instance='a', job='1', v='1'}", &[(0, 2.0)])
        .samples("target_info{instance='a', job='1', v='1'}", &[(0, 1.0)]);
    assert_eq!(database.instant("info(m)", 0).error(), grid::SAME_LABELS);
}

#[test]
fn info_series_are_looked_at_when_all_selectors_look() {
    let database = Database::default()
        .samples("m{instance='a', job='1'}", &[(0, 1.0), (600_000, 2.0)])
        .samples("target_info{instance='a', job='1', v='old'}", &[(0, 1.0)])
        .samples(
            "target_info{instance='a', job='1', v='new'}",
            &[(600_000, 1.0)],
        );
    let old = [r#"m{instance="a", job="1", v="old"} 1"#];
    for query in ["info(m offset 10m)", "info(m @ 0)", "info(info(m @ 0))"] {
        assert_eq!(database.instant(query, 600_000).lines(), old, "{query}");
    }
    let lines = [r#"m{instance="a", job="1", v="old"} 1@600000 1@660000"#];
    let tested = database.range("info(m @ 0)", 600_000, 660_000, MINUTE);
    assert_eq!(tested.lines(), lines);
}

#[test]
fn info_series_are_requested_when_the_targets_are_known() {
    let engine = Engine::new(EngineOptions {
        parser: ParserOptions::everything(),
        ..EngineOptions::default()
    });
    let query = "info(m, {data=~'.+', __name__!='x'})";
    let query = engine.range(query, 0, 2 * MINUTE, MINUTE).unwrap();
    let mut fetched = Fetched::default();
    let labels = |series| Arc::new(super::super::testing::labels(series));
    let series = |labels| StoredSeries {
        labels,
        floats: vec![prom_model::Sample {
            timestamp_ms: 0,
            value: 1.0,
        }],
        ..StoredSeries::default()
    };
    let targets = [
        "m{instance='b.c', job='1'}",
        "m{instance='a|', job='2'}",
        "m{job='3'}",
        "m{other='4'}",
    ];
    let stored = targets.map(labels).map(series);
    fetched.add(query.selections()[0].clone(), stored.to_vec());
    let Progress::Needs(needed) = query.evaluate(&fetched, &|| None) else {
        panic!("the info series are needed");
    };
    let texts = needed.iter().map(|selection| {
        let matchers = selection.matchers.iter().map(ToString::to_string);
        matchers.collect::<Vec<_>>().join(",")
    });
    let names = r#"data=~".+",__name__=~".+_info",__name__!="x""#;
    assert_eq!(
        texts.collect::<Vec<_>>(),
        [
            format!(r#"instance="",job=~"3",{names}"#),
            format!(r#"instance=~"a\\||b\\.c",job=~"1|2",{names}"#),
        ]
    );
    let times = (needed[0].first_ms, needed[0].last_ms, needed[0].step_ms);
    assert_eq!(times, (0, 2 * MINUTE, MINUTE));
    assert_eq!(needed[0].function, Some("info"));
    for selection in needed {
        fetched.add(selection, Vec::new());
    }
    assert!(matches!(
        query.evaluate(&fetched, &|| None),
        Progress::Done(_)
    ));
}
