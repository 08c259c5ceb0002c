//! Timestamps, dates, times of day and intervals.

use super::{Case, fails, rows};

pub(super) const CASES: &[Case] = &[
    // DG:supported-data-types and Grafana's recorded responses: the form of each type.
    rows(
        "SELECT timestamp '2020-08-08 01:00', timestamp '2020-08-08 01:00:00.123456789'",
        "_col0 TIMESTAMP, _col1 TIMESTAMP",
        &["2020-08-08 01:00:00.000000000 | 2020-08-08 01:00:00.123456789"],
    ),
    rows(
        "SELECT date '2020-08-08', time '01:00'",
        "_col0 DATE, _col1 TIME",
        &["2020-08-08 | 01:00:00.000000000"],
    ),
    rows(
        "SELECT 45h, interval '2' year + interval '7' month",
        "_col0 INTERVAL_DAY_TO_SECOND, _col1 INTERVAL_YEAR_TO_MONTH",
        &["1 21:00:00.000000000 | 2-7"],
    ),
    // DG:date-time-functions: the forms of an interval literal.
    rows(
        "SELECT 2d = 2day, 1m = 60s, 1h = 60m, 1s = 1000ms, 100ms = interval '100' millisecond",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN, _col3 BOOLEAN, _col4 BOOLEAN",
        &["true | true | true | true | true"],
    ),
    rows(
        "SELECT 1us, 1ns, -2h",
        "_col0 INTERVAL_DAY_TO_SECOND, _col1 INTERVAL_DAY_TO_SECOND, _col2 INTERVAL_DAY_TO_SECOND",
        &["0 00:00:00.000001000 | 0 00:00:00.000000001 | -0 02:00:00.000000000"],
    ),
    // DG:date-time-operators.
    rows(
        "SELECT date '2022-05-21' + interval '2' day",
        "_col0 DATE",
        &["2022-05-23"],
    ),
    rows(
        "SELECT time '01:00' + interval '3' hour",
        "_col0 TIME",
        &["04:00:00.000000000"],
    ),
    rows(
        "SELECT time '23:00' + 2h, time '01:00' - 2h",
        "_col0 TIME, _col1 TIME",
        &["01:00:00.000000000 | 23:00:00.000000000"],
    ),
    rows(
        "SELECT timestamp '2022-05-21 23:10' + interval '3' hour",
        "_col0 TIMESTAMP",
        &["2022-05-22 02:10:00.000000000"],
    ),
    rows(
        "SELECT interval '2' day + interval '3' hour",
        "_col0 INTERVAL_DAY_TO_SECOND",
        &["2 03:00:00.000000000"],
    ),
    rows(
        "SELECT interval '3' year + interval '5' month",
        "_col0 INTERVAL_YEAR_TO_MONTH",
        &["3-5"],
    ),
    rows(
        "SELECT interval '3' year - interval '5' month",
        "_col0 INTERVAL_YEAR_TO_MONTH",
        &["2-7"],
    ),
    rows(
        "SELECT date '2022-01-31' + interval '1' month",
        "_col0 DATE",
        &["2022-02-28"],
    ),
    rows(
        "SELECT date '2024-02-29' - interval '1' year",
        "_col0 DATE",
        &["2023-02-28"],
    ),
    rows(
        "SELECT timestamp '2022-03-31 10:00' - interval '1' month",
        "_col0 TIMESTAMP",
        &["2022-02-28 10:00:00.000000000"],
    ),
    rows(
        "SELECT timestamp '2022-05-23 03:00' - timestamp '2022-05-21 06:00'",
        "_col0 INTERVAL_DAY_TO_SECOND",
        &["1 21:00:00.000000000"],
    ),
    rows(
        "SELECT timestamp '2022-05-21' - date '2022-05-20' > 12h",
        "_col0 BOOLEAN",
        &["true"],
    ),
    rows(
        "SELECT 2 * 3h, 2d * 2",
        "_col0 INTERVAL_DAY_TO_SECOND, _col1 INTERVAL_DAY_TO_SECOND",
        &["0 06:00:00.000000000 | 4 00:00:00.000000000"],
    ),
    fails(
        "SELECT date '2022-05-21' + 3h",
        "Cannot add hour, minutes or seconds to a date",
    ),
    fails(
        "SELECT time '01:00' + interval '1' month",
        "line 1:13: '+' cannot be applied to time, interval year to month",
    ),
    fails(
        "SELECT 1h + interval '1' month",
        "line 1:8: '+' cannot be applied to interval day to second, interval year to month",
    ),
    // DG:date-time-operators: an operation whose result is before 1970 is an error.
    fails(
        "SELECT timestamp '1970-01-02' - 3d",
        "The timestamp is outside the supported range of 1970-01-01 to 2262-04-11",
    ),
    fails(
        "SELECT from_milliseconds(-1)",
        "The timestamp is outside the supported range of 1970-01-01 to 2262-04-11",
    ),
    fails(
        "SELECT timestamp '1969-12-31'",
        "line 1:18: '1969-12-31' is not a valid timestamp literal",
    ),
    fails(
        "SELECT timestamp 'yesterday'",
        "line 1:18: 'yesterday' is not a valid timestamp literal",
    ),
    fails(
        "SELECT date '2022-02-30'",
        "line 1:13: '2022-02-30' is not a valid date literal",
    ),
    // DG:date-time-functions, conversion.
    rows(
        "SELECT from_milliseconds(1600000000123)",
        "_col0 TIMESTAMP",
        &["2020-09-13 12:26:40.123000000"],
    ),
    rows(
        "SELECT from_nanoseconds(300000001)",
        "_col0 TIMESTAMP",
        &["1970-01-01 00:00:00.300000001"],
    ),
    rows(
        "SELECT from_unixtime(1600000000)",
        "_col0 TIMESTAMP",
        &["2020-09-13 12:26:40.000000000"],
    ),
    rows(
        "SELECT from_iso8601_timestamp('2022-06-17T08:04:05.000000000+05:00')",
        "_col0 TIMESTAMP",
        &["2022-06-17 03:04:05.000000000"],
    ),
    rows(
        "SELECT from_iso8601_date('2022-07-17')",
        "_col0 DATE",
        &["2022-07-17"],
    ),
    rows(
        "SELECT to_milliseconds(timestamp '2022-06-17 17:44:43.771')",
        "_col0 BIGINT",
        &["1655487883771"],
    ),
    rows(
        "SELECT to_milliseconds(2d), to_nanoseconds(1ms)",
        "_col0 BIGINT, _col1 BIGINT",
        &["172800000 | 1000000"],
    ),
    rows(
        "SELECT to_nanoseconds(timestamp '2022-06-17 17:44:43.771000678')",
        "_col0 BIGINT",
        &["1655487883771000678"],
    ),
    rows(
        "SELECT to_unixtime(timestamp '2022-06-17 17:44:43.5')",
        "_col0 DOUBLE",
        &["1.6554878835E9"],
    ),
    rows(
        "SELECT to_iso8601(timestamp '2022-06-17 17:44:43.5')",
        "_col0 VARCHAR",
        &["2022-06-17T17:44:43.500000000Z"],
    ),
    rows(
        "SELECT CAST(date '2022-06-17' AS timestamp), date(timestamp '2022-06-17 01:02')",
        "_col0 TIMESTAMP, _col1 DATE",
        &["2022-06-17 00:00:00.000000000 | 2022-06-17"],
    ),
    // DG:date-time-functions, truncation and binning: bins count from the epoch.
    rows(
        "SELECT bin(timestamp '2022-06-17 10:15:20', 5m)",
        "_col0 TIMESTAMP",
        &["2022-06-17 10:15:00.000000000"],
    ),
    rows(
        "SELECT bin(timestamp '2022-06-17 10:15:20', 30s)",
        "_col0 TIMESTAMP",
        &["2022-06-17 10:15:00.000000000"],
    ),
    fails(
        "SELECT bin(timestamp '2022-06-17', 0s)",
        "bin size must be greater than zero",
    ),
    rows(
        "SELECT date_trunc('minute', timestamp '2022-06-17 17:44:43')",
        "_col0 TIMESTAMP",
        &["2022-06-17 17:44:00.000000000"],
    ),
    rows(
        "SELECT date_trunc('week', timestamp '2022-06-17 17:44:43'), date_trunc('quarter', date '2022-06-17')",
        "_col0 TIMESTAMP, _col1 DATE",
        &["2022-06-13 00:00:00.000000000 | 2022-04-01"],
    ),
    fails(
        "SELECT date_trunc('fortnight', timestamp '2022-06-17')",
        "'fortnight' is not a valid Timestamp field",
    ),
    // DG:date-time-functions, intervals and durations.
    rows(
        "SELECT date_add('hour', 9, timestamp '2022-06-17 00:00')",
        "_col0 TIMESTAMP",
        &["2022-06-17 09:00:00.000000000"],
    ),
    rows(
        "SELECT date_add('month', 1, date '2022-01-31'), date_add('day', -1, date '2022-01-01')",
        "_col0 DATE, _col1 DATE",
        &["2022-02-28 | 2021-12-31"],
    ),
    rows(
        "SELECT date_diff('day', timestamp '2022-05-01 12:00', timestamp '2022-05-03 11:00')",
        "_col0 BIGINT",
        &["1"],
    ),
    rows(
        "SELECT date_diff('month', date '2022-03-01', date '2022-01-31'), date_diff('ms', timestamp '2022-01-01', timestamp '2022-01-01 00:00:01')",
        "_col0 BIGINT, _col1 BIGINT",
        &["-1 | 1000"],
    ),
    rows(
        "SELECT last_day_of_month(timestamp '2024-02-10 12:00'), last_day_of_month(date '2022-12-31')",
        "_col0 DATE, _col1 DATE",
        &["2024-02-29 | 2022-12-31"],
    ),
    // DG:date-time-functions, fields: weeks are those of ISO 8601.
    rows(
        "SELECT year(t), quarter(t), month(t), day(t), hour(t), minute(t), second(t), millisecond(t) \
         FROM (SELECT timestamp '2022-06-17 17:44:43.771' AS t)",
        "_col0 BIGINT, _col1 BIGINT, _col2 BIGINT, _col3 BIGINT, _col4 BIGINT, _col5 BIGINT, _col6 BIGINT, _col7 BIGINT",
        &["2022 | 2 | 6 | 17 | 17 | 44 | 43 | 771"],
    ),
    rows(
        "SELECT day_of_week(d), day_of_year(d), week(d), year_of_week(d) FROM (SELECT date '2022-01-01' AS d)",
        "_col0 BIGINT, _col1 BIGINT, _col2 BIGINT, _col3 BIGINT",
        &["6 | 1 | 52 | 2021"],
    ),
    rows(
        "SELECT extract(year FROM timestamp '2022-06-17 17:44'), extract(dow FROM date '2022-06-19')",
        "_col0 BIGINT, _col1 BIGINT",
        &["2022 | 7"],
    ),
    // DG:date-time-functions: the clock is read once per query.
    rows(
        "SELECT now() = current_timestamp, ago(0s) = now(), current_date = date(now())",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN",
        &["true | true | true"],
    ),
    rows(
        "SELECT now() - ago(2d), now() - 1h < now()",
        "_col0 INTERVAL_DAY_TO_SECOND, _col1 BOOLEAN",
        &["2 00:00:00.000000000 | true"],
    ),
    fails(
        "SELECT current_date()",
        "line 1:8: Function current_date not registered",
    ),
    // DG:date-time-operators, comparison: both ends of BETWEEN belong to it.
    rows(
        "SELECT count(*) FROM db.old WHERE time BETWEEN from_milliseconds(1599998400000) AND from_milliseconds(1599998460000)",
        "_col0 BIGINT",
        &["13"],
    ),
    rows(
        "SELECT count(*) FROM db.old WHERE time > timestamp '2020-09-13 12:01'",
        "_col0 BIGINT",
        &["1"],
    ),
    rows(
        "SELECT count(*) FROM db.old WHERE time >= date '2020-09-13' AND time < date '2020-09-14'",
        "_col0 BIGINT",
        &["14"],
    ),
    rows(
        "SELECT count(*) FROM db.old WHERE time BETWEEN ago(1h) AND now()",
        "_col0 BIGINT",
        &["0"],
    ),
    fails(
        "SELECT time FROM db.old WHERE time > '2020-09-13'",
        "line 1:31: '>' cannot be applied to timestamp, varchar",
    ),
    fails(
        "SELECT time FROM db.old WHERE time > 1599998400000",
        "line 1:31: '>' cannot be applied to timestamp, bigint",
    ),
];
