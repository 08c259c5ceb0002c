//! The statistics of a query as JSON.

use std::io::Write;
use std::time::Duration;

use promql::StepStatistics;

use super::json::{write_list, write_number};
use crate::query::Evaluation;

/// Returns the field `stats` of a response. Timings are seconds.
pub(super) fn statistics_json(evaluation: &Evaluation, total: Duration) -> Vec<u8> {
    let Evaluation {
        outcome,
        fetching,
        evaluating,
    } = evaluation;
    let mut out = Vec::new();
    let timings = [
        ("evalTotalTime", *fetching + *evaluating),
        ("resultSortTime", Duration::ZERO),
        ("queryPreparationTime", *fetching),
        ("innerEvalTime", *evaluating),
        (
            "execQueueTime",
            total.saturating_sub(*fetching + *evaluating),
        ),
        ("execTotalTime", total),
    ];
    out.extend_from_slice(b"{\"timings\":{");
    for (index, (name, duration)) in timings.into_iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(out, "{comma}\"{name}\":").expect("a vector grows");
        write_number(duration.as_secs_f64(), &mut out);
    }
    out.extend_from_slice(b"},\"samples\":{");
    let statistics = &outcome.statistics;
    let steps = outcome.per_step.as_deref();
    write_steps(
        "totalQueryableSamplesPerStep",
        steps,
        |it| it.total_samples,
        &mut out,
    );
    write_count("totalQueryableSamples", statistics.total_samples, &mut out);
    out.push(b',');
    write_steps("samplesReadPerStep", steps, |it| it.samples_read, &mut out);
    write_count("samplesRead", statistics.samples_read, &mut out);
    out.push(b',');
    write_count("peakSamples", statistics.peak_samples as u64, &mut out);
    out.extend_from_slice(b"}}");
    out
}

fn write_count(name: &str, count: u64, out: &mut Vec<u8>) {
    write!(out, "\"{name}\":{count}").expect("a vector grows");
}

/// Writes a field with the counts of each step and a comma, if there are any.
fn write_steps(
    name: &str,
    steps: Option<&[StepStatistics]>,
    count: impl Fn(&StepStatistics) -> u64,
    out: &mut Vec<u8>,
) {
    let Some(steps) = steps.filter(|steps| !steps.is_empty()) else {
        return;
    };
    write!(out, "\"{name}\":").expect("a vector grows");
    write_list(steps, out, |step, out| {
        out.push(b'[');
        write_number(step.timestamp_ms as f64 / 1_000.0, out);
        write!(out, ",{}]", count(step)).expect("a vector grows");
    });
    out.push(b',');
}

#[cfg(test)]
mod tests {
    use promql::{Engine, EngineOptions, MemoryStorage};

    use super::*;

    #[test]
    fn statistics_have_the_form_of_prometheus() {
        for (per_step, steps) in [
            (false, ["", ""]),
            (
                true,
                [
                    "\"totalQueryableSamplesPerStep\":[[1.5,0],[61.5,0]],",
                    "\"samplesReadPerStep\":[[1.5,0],[61.5,0]],",
                ],
            ),
        ] {
            let engine = Engine::new(EngineOptions {
                per_step_statistics: per_step,
                ..EngineOptions::default()
            });
            let query = engine.range("up", 1_500, 61_500, 60_000).unwrap();
            let evaluation = Evaluation {
                outcome: query.run(&MemoryStorage::default()).unwrap(),
                fetching: Duration::from_millis(250),
                evaluating: Duration::from_millis(500),
            };
            let json = statistics_json(&evaluation, Duration::from_secs(1));
            let expected = format!(
                "{{\"timings\":{{\"evalTotalTime\":0.75,\"resultSortTime\":0,\"queryPreparationTime\":0.25,\
                 \"innerEvalTime\":0.5,\"execQueueTime\":0.25,\"execTotalTime\":1}},\"samples\":{{{}\
                 \"totalQueryableSamples\":0,{}\"samplesRead\":0,\"peakSamples\":0}}}}",
                steps[0], steps[1]
            );
            assert_eq!(String::from_utf8(json).unwrap(), expected);
        }
    }
}
