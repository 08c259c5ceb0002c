//! Series to the SAMPLES answer of remote read.

use super::histogram::to_message;
use crate::model::Series;
use crate::prompb;

/// Puts the results of the queries, in the order of the queries, into one response.
pub fn results_to_response(results: Vec<Vec<Series>>) -> prompb::ReadResponse {
    let result = |series: Vec<Series>| prompb::QueryResult {
        timeseries: series.into_iter().map(timeseries).collect(),
    };
    prompb::ReadResponse {
        results: results.into_iter().map(result).collect(),
    }
}

fn timeseries(series: Series) -> prompb::TimeSeries {
    prompb::TimeSeries {
        labels: series
            .labels
            .into_vec()
            .into_iter()
            .map(|label| prompb::Label {
                name: label.name,
                value: label.value,
            })
            .collect(),
        samples: series
            .samples
            .into_iter()
            .map(|sample| prompb::Sample {
                value: sample.value,
                timestamp: sample.timestamp_ms,
            })
            .collect(),
        histograms: series.histograms.into_iter().map(to_message).collect(),
        exemplars: Vec::new(),
    }
}
