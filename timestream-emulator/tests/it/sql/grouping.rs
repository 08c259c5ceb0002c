//! Reading a table, aggregates, timeseries and windows.

use super::{Case, fails, ordered, rows};

pub(super) const CASES: &[Case] = &[
    // DG:supported-sql-constructs.SELECT: `*` is all columns in the order of DESCRIBE.
    ordered(
        "SELECT * FROM db.old WHERE measure_name = 'sensor' ORDER BY time",
        "host VARCHAR, region VARCHAR, measure_name VARCHAR, time TIMESTAMP, \
         measure_value::bigint BIGINT, measure_value::boolean BOOLEAN, \
         measure_value::double DOUBLE, measure_value::varchar VARCHAR, label VARCHAR, temp DOUBLE",
        &[
            "a | eu | sensor | 2020-09-13 12:00:00.000000000 | NULL | NULL | NULL | NULL | x | 21.5",
            "a | eu | sensor | 2020-09-13 12:01:00.000000000 | NULL | NULL | NULL | NULL | NULL | 22.0",
        ],
    ),
    ordered(
        "DESCRIBE db.old",
        "Column VARCHAR, Type VARCHAR, Timestream attribute type VARCHAR",
        &[
            "host | varchar | DIMENSION",
            "region | varchar | DIMENSION",
            "measure_name | varchar | MEASURE_NAME",
            "time | timestamp | TIMESTAMP",
            "measure_value::bigint | bigint | MEASURE_VALUE",
            "measure_value::boolean | boolean | MEASURE_VALUE",
            "measure_value::double | double | MEASURE_VALUE",
            "measure_value::varchar | varchar | MEASURE_VALUE",
            "label | varchar | MULTI",
            "temp | double | MULTI",
        ],
    ),
    rows(
        "SELECT * FROM db.new",
        "measure_name VARCHAR, time TIMESTAMP",
        &[],
    ),
    rows(
        "SELECT o.* FROM db.new AS o",
        "measure_name VARCHAR, time TIMESTAMP",
        &[],
    ),
    // DG:supported-sql-constructs.SHOW.
    rows("SHOW TABLES FROM db LIKE 'o%'", "Table VARCHAR", &["old"]),
    rows("SHOW DATABASES LIKE '_b'", "Database VARCHAR", &["db"]),
    rows(
        "SHOW MEASURES FROM db.old LIKE 'c%'",
        "measure_name VARCHAR, data_type VARCHAR, dimensions ARRAY(ROW)",
        &["cpu | double | ((host,varchar),(region,varchar))"],
    ),
    rows(
        "SHOW MEASURES FROM db.old LIKE 'sensor'",
        "measure_name VARCHAR, data_type VARCHAR, dimensions ARRAY(ROW)",
        &["sensor | multi | ((host,varchar),(region,varchar))"],
    ),
    // DG:ts-limits: names are compared as bytes, so the case counts; keywords have none.
    rows(
        "SeLeCt \"host\" fRoM \"db\".\"old\" wHeRe measure_name = 'alive' AND host <> 'A'",
        "host VARCHAR",
        &["a", "c"],
    ),
    rows(
        "SELECT count(*) FROM db.old WHERE host = 'A'",
        "_col0 BIGINT",
        &["0"],
    ),
    fails(
        "SELECT Host FROM db.old",
        "line 1:8: Column 'Host' does not exist",
    ),
    fails(
        "SELECT \"HOST\" FROM db.old",
        "line 1:8: Column 'HOST' does not exist",
    ),
    fails(
        "SELECT host FROM db.OLD",
        "line 1:18: Table 'db.OLD' does not exist",
    ),
    fails(
        "SELECT host FROM DB.old",
        "Requested database 'DB' not found for identifier 'DB.old' at line 1:18",
    ),
    // A dimension that a series lacks is NULL, for which no comparison is true
    // (DG:comparison-operators).
    rows(
        "SELECT count(*) FROM db.old WHERE region <> 'eu'",
        "_col0 BIGINT",
        &["4"],
    ),
    rows(
        "SELECT count(*) FROM db.old WHERE region IS NULL OR region <> 'eu'",
        "_col0 BIGINT",
        &["6"],
    ),
    rows(
        "SELECT count(*) FROM db.old WHERE NOT regexp_like(region, 'eu')",
        "_col0 BIGINT",
        &["4"],
    ),
    rows(
        "SELECT count(*) FROM db.old WHERE NOT (region = 'eu' AND host = 'a')",
        "_col0 BIGINT",
        &["6"],
    ),
    rows(
        "SELECT measure_value::varchar FROM db.old WHERE measure_value::varchar = 'it''s'",
        "measure_value::varchar VARCHAR",
        &["it's"],
    ),
    rows(
        "SELECT measure_value::varchar FROM db.old WHERE measure_value::varchar LIKE '100!%!_\\' ESCAPE '!'",
        "measure_value::varchar VARCHAR",
        &["100%_\\"],
    ),
    rows(
        "SELECT host FROM db.old WHERE measure_value::boolean",
        "host VARCHAR",
        &["a"],
    ),
    rows(
        "SELECT host FROM db.old WHERE NOT measure_value::boolean",
        "host VARCHAR",
        &["c"],
    ),
    rows(
        "SELECT measure_value::bigint / 2 FROM db.old WHERE measure_name = 'memory'",
        "_col0 BIGINT",
        &["3", "-1"],
    ),
    rows(
        "SELECT o.host FROM db.old o WHERE o.\"measure_value::double\" > 50",
        "host VARCHAR",
        &["c"],
    ),
    rows(
        "SELECT \"measure_value::varchar\" FROM db.old WHERE \"measure_value::varchar\" = 'it''s'",
        "measure_value::varchar VARCHAR",
        &["it's"],
    ),
    rows(
        "SELECT o.host FROM db.old o WHERE o.measure_value::double > 50",
        "host VARCHAR",
        &["c"],
    ),
    rows(
        "SELECT \"old\".\"host\", \"db\".\"old\".region FROM db.old WHERE temp > 21.9",
        "host VARCHAR, region VARCHAR",
        &["a | eu"],
    ),
    // DG:aggregate-functions: NULL is ignored; over no rows count is 0 and the others NULL.
    rows(
        "SELECT count(*), count(region), count(DISTINCT host), approx_distinct(region) FROM db.old",
        "_col0 BIGINT, _col1 BIGINT, _col2 BIGINT, _col3 BIGINT",
        &["14 | 12 | 3 | 2"],
    ),
    rows(
        "SELECT sum(measure_value::double), avg(measure_value::double), min(measure_value::double), max(measure_value::double) \
         FROM db.old WHERE host = 'a' AND measure_name = 'cpu'",
        "_col0 DOUBLE, _col1 DOUBLE, _col2 DOUBLE, _col3 DOUBLE",
        &["8.0 | 2.6666666666666665 | 1.5 | 4.0"],
    ),
    rows(
        "SELECT sum(measure_value::bigint), avg(measure_value::bigint) FROM db.old",
        "_col0 BIGINT, _col1 DOUBLE",
        &["4 | 2.0"],
    ),
    rows(
        "SELECT count(*), sum(temp), max(time), bool_or(true), array_agg(host) FROM db.old WHERE host = 'z'",
        "_col0 BIGINT, _col1 DOUBLE, _col2 TIMESTAMP, _col3 BOOLEAN, _col4 ARRAY(VARCHAR)",
        &["0 | NULL | NULL | NULL | NULL"],
    ),
    rows(
        "SELECT bool_and(measure_value::boolean), bool_or(measure_value::boolean) FROM db.old",
        "_col0 BOOLEAN, _col1 BOOLEAN",
        &["false | true"],
    ),
    rows(
        "SELECT max_by(host, measure_value::double), min_by(host, measure_value::double) FROM db.old",
        "_col0 VARCHAR, _col1 VARCHAR",
        &["c | a"],
    ),
    rows(
        "SELECT arbitrary(host) FROM db.old WHERE host = 'b'",
        "_col0 VARCHAR",
        &["b"],
    ),
    rows(
        "SELECT approx_percentile(measure_value::double, 0.5) FROM db.old WHERE host = 'a'",
        "_col0 DOUBLE",
        &["2.5"],
    ),
    rows(
        "SELECT approx_percentile(measure_value::double, ARRAY[0.0, 0.5, 1.0]) FROM db.old WHERE host = 'a'",
        "_col0 ARRAY(DOUBLE)",
        &["(1.5,2.5,4.0)"],
    ),
    rows(
        "SELECT host, array_agg(measure_value::bigint) FROM db.old WHERE measure_name = 'memory' AND time < timestamp '2020-09-13 12:01' GROUP BY host",
        "host VARCHAR, _col1 ARRAY(BIGINT)",
        &["a | (7)"],
    ),
    // DG:supported-sql-constructs.SELECT: GROUP BY by expression or position, HAVING, ORDER BY.
    ordered(
        "SELECT region, count(*) AS n FROM db.old GROUP BY region ORDER BY region",
        "region VARCHAR, n BIGINT",
        &["eu | 8", "us | 4", "NULL | 2"],
    ),
    ordered(
        "SELECT region, count(*) FROM db.old GROUP BY 1 ORDER BY 2 DESC, 1",
        "region VARCHAR, _col1 BIGINT",
        &["eu | 8", "us | 4", "NULL | 2"],
    ),
    ordered(
        "SELECT region FROM db.old GROUP BY region ORDER BY region NULLS FIRST",
        "region VARCHAR",
        &["NULL", "eu", "us"],
    ),
    ordered(
        "SELECT region FROM db.old GROUP BY region ORDER BY region DESC",
        "region VARCHAR",
        &["us", "eu", "NULL"],
    ),
    ordered(
        "SELECT region FROM db.old GROUP BY region ORDER BY count(*) DESC LIMIT 1",
        "region VARCHAR",
        &["eu"],
    ),
    rows(
        "SELECT host FROM db.old GROUP BY host HAVING count(*) > 2 AND max(measure_value::double) < 50",
        "host VARCHAR",
        &["a", "b"],
    ),
    rows(
        "SELECT count(*) FROM db.old HAVING count(*) > 100",
        "_col0 BIGINT",
        &[],
    ),
    ordered(
        "SELECT bin(time, 2m) AS t, sum(measure_value::double) FROM db.old WHERE measure_name = 'cpu' GROUP BY bin(time, 2m) ORDER BY t",
        "t TIMESTAMP, _col1 DOUBLE",
        &[
            "2020-09-13 12:00:00.000000000 | 134.0",
            "2020-09-13 12:02:00.000000000 | 4.0",
        ],
    ),
    rows(
        "SELECT upper(host) || '!', 2 * count(*) FROM db.old GROUP BY upper(host)",
        "_col0 VARCHAR, _col1 BIGINT",
        &["A! | 16", "B! | 8", "C! | 4"],
    ),
    ordered(
        "SELECT DISTINCT measure_name FROM db.old ORDER BY measure_name LIMIT 2",
        "measure_name VARCHAR",
        &["alive", "cpu"],
    ),
    ordered(
        "SELECT DISTINCT host, region FROM db.old ORDER BY 1",
        "host VARCHAR, region VARCHAR",
        &["a | eu", "b | us", "c | NULL"],
    ),
    rows(
        "SELECT ALL host FROM db.old WHERE temp IS NOT NULL",
        "host VARCHAR",
        &["a", "a"],
    ),
    rows("SELECT host FROM db.old LIMIT 0", "host VARCHAR", &[]),
    ordered(
        "SELECT temp FROM db.old WHERE temp > 0 ORDER BY temp LIMIT ALL",
        "temp DOUBLE",
        &["21.5", "22.0"],
    ),
    fails(
        "SELECT host, count(*) FROM db.old",
        "line 1:8: 'host' must be an aggregate expression or appear in GROUP BY clause",
    ),
    fails(
        "SELECT host FROM db.old GROUP BY 2",
        "line 1:34: GROUP BY position 2 is not in select list",
    ),
    fails(
        "SELECT host FROM db.old ORDER BY 2",
        "line 1:34: ORDER BY position 2 is not in select list",
    ),
    fails(
        "SELECT sum(host) FROM db.old",
        "line 1:8: Unexpected parameters (varchar) for function sum",
    ),
    fails(
        "SELECT host FROM db.old WHERE count(*) > 1",
        "line 1:31: aggregate function count is not allowed here",
    ),
    fails(
        "SELECT count(*) FILTER (WHERE true) FROM db.old",
        "line 1:8: FILTER and like clauses of count are not supported by the emulator",
    ),
    // DG:timeseries-specific-constructs.views.
    ordered(
        "SELECT host, CREATE_TIME_SERIES(time, measure_value::double) AS s FROM db.old WHERE measure_name = 'cpu' GROUP BY host ORDER BY host",
        "host VARCHAR, s TIMESERIES(DOUBLE)",
        &[
            "a | [2020-09-13 12:00:00.000000000=1.5,2020-09-13 12:01:00.000000000=2.5,2020-09-13 12:02:00.000000000=4.0]",
            "b | [2020-09-13 12:00:00.000000000=10.0,2020-09-13 12:01:00.000000000=20.0]",
            "c | [2020-09-13 12:01:00.000000000=100.0]",
        ],
    ),
    rows(
        "SELECT CREATE_TIME_SERIES(time, measure_value::bigint) FROM db.old WHERE measure_name = 'memory'",
        "_col0 TIMESERIES(BIGINT)",
        &["[2020-09-13 12:00:00.000000000=7,2020-09-13 12:01:00.000000000=-3]"],
    ),
    rows(
        "SELECT CREATE_TIME_SERIES(time, temp) FROM db.old WHERE host = 'z'",
        "_col0 TIMESERIES(DOUBLE)",
        &["NULL"],
    ),
    fails(
        "SELECT CREATE_TIME_SERIES(time, measure_value::double) FROM db.old",
        "The arguments of CREATE_TIME_SERIES cannot be null",
    ),
    // DG:timeseries-specific-constructs.functions.interpolation.
    rows(
        "SELECT interpolate_linear(CREATE_TIME_SERIES(time, measure_value::double), sequence(min(time), max(time), 30s)) \
         FROM db.old WHERE measure_name = 'cpu' AND host = 'b'",
        "_col0 TIMESERIES(DOUBLE)",
        &[
            "[2020-09-13 12:00:00.000000000=10.0,2020-09-13 12:00:30.000000000=15.0,2020-09-13 12:01:00.000000000=20.0]",
        ],
    ),
    rows(
        "SELECT interpolate_locf(CREATE_TIME_SERIES(time, measure_value::double), sequence(min(time), max(time), 30s)) \
         FROM db.old WHERE measure_name = 'cpu' AND host = 'b'",
        "_col0 TIMESERIES(DOUBLE)",
        &[
            "[2020-09-13 12:00:00.000000000=10.0,2020-09-13 12:00:30.000000000=10.0,2020-09-13 12:01:00.000000000=20.0]",
        ],
    ),
    rows(
        "SELECT interpolate_fill(CREATE_TIME_SERIES(time, measure_value::double), sequence(min(time), max(time), 30s), 0.5) \
         FROM db.old WHERE measure_name = 'cpu' AND host = 'b'",
        "_col0 TIMESERIES(DOUBLE)",
        &[
            "[2020-09-13 12:00:00.000000000=10.0,2020-09-13 12:00:30.000000000=0.5,2020-09-13 12:01:00.000000000=20.0]",
        ],
    ),
    fails(
        "SELECT sequence(timestamp '2020-01-01', timestamp '2021-01-01', 1m)",
        "result of sequence function must not have more than 10000 entries",
    ),
    // DG:window-functions, Presto "Window Functions": the default frame ends with the peers of the row.
    ordered(
        "SELECT host, time, row_number() OVER (PARTITION BY host ORDER BY time DESC) FROM db.old WHERE measure_name = 'cpu' ORDER BY 1, 2",
        "host VARCHAR, time TIMESTAMP, _col2 BIGINT",
        &[
            "a | 2020-09-13 12:00:00.000000000 | 3",
            "a | 2020-09-13 12:01:00.000000000 | 2",
            "a | 2020-09-13 12:02:00.000000000 | 1",
            "b | 2020-09-13 12:00:00.000000000 | 2",
            "b | 2020-09-13 12:01:00.000000000 | 1",
            "c | 2020-09-13 12:01:00.000000000 | 1",
        ],
    ),
    ordered(
        "SELECT x, rank() OVER (ORDER BY x), dense_rank() OVER (ORDER BY x), row_number() OVER (ORDER BY x), sum(x) OVER (ORDER BY x) \
         FROM (VALUES (1), (2), (2), (3)) AS t (x) ORDER BY x, 4",
        "x INTEGER, _col1 BIGINT, _col2 BIGINT, _col3 BIGINT, _col4 BIGINT",
        &[
            "1 | 1 | 1 | 1 | 1",
            "2 | 2 | 2 | 2 | 5",
            "2 | 2 | 2 | 3 | 5",
            "3 | 4 | 3 | 4 | 8",
        ],
    ),
    ordered(
        "SELECT x, lag(x) OVER (ORDER BY x), lead(x, 2) OVER (ORDER BY x), lag(x, 1, 0) OVER (ORDER BY x) FROM (VALUES (1), (2), (3)) AS t (x) ORDER BY x",
        "x INTEGER, _col1 INTEGER, _col2 INTEGER, _col3 INTEGER",
        &["1 | NULL | 3 | 0", "2 | 1 | NULL | 1", "3 | 2 | NULL | 2"],
    ),
    ordered(
        "SELECT x, first_value(x) OVER (ORDER BY x), last_value(x) OVER (ORDER BY x), \
         last_value(x) OVER (ORDER BY x ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING), nth_value(x, 2) OVER (ORDER BY x) \
         FROM (VALUES (1), (2), (3)) AS t (x) ORDER BY x",
        "x INTEGER, _col1 INTEGER, _col2 INTEGER, _col3 INTEGER, _col4 INTEGER",
        &[
            "1 | 1 | 1 | 3 | NULL",
            "2 | 1 | 2 | 3 | 2",
            "3 | 1 | 3 | 3 | 2",
        ],
    ),
    ordered(
        "SELECT x, sum(x) OVER (ORDER BY x ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING), avg(x) OVER (ORDER BY x ROWS 1 PRECEDING), count(*) OVER () \
         FROM (VALUES (1), (2), (3), (4)) AS t (x) ORDER BY x",
        "x INTEGER, _col1 BIGINT, _col2 DOUBLE, _col3 BIGINT",
        &[
            "1 | 3 | 1.0 | 4",
            "2 | 6 | 1.5 | 4",
            "3 | 9 | 2.5 | 4",
            "4 | 7 | 3.5 | 4",
        ],
    ),
    ordered(
        "SELECT x, ntile(2) OVER (ORDER BY x), percent_rank() OVER (ORDER BY x), cume_dist() OVER (ORDER BY x) FROM (VALUES (1), (2), (3)) AS t (x) ORDER BY x",
        "x INTEGER, _col1 BIGINT, _col2 DOUBLE, _col3 DOUBLE",
        &[
            "1 | 1 | 0.0 | 0.3333333333333333",
            "2 | 1 | 0.5 | 0.6666666666666666",
            "3 | 2 | 1.0 | 1.0",
        ],
    ),
    ordered(
        "SELECT host, count(*), sum(count(*)) OVER (ORDER BY host), rank() OVER (ORDER BY count(*) DESC) FROM db.old GROUP BY host ORDER BY host",
        "host VARCHAR, _col1 BIGINT, _col2 BIGINT, _col3 BIGINT",
        &["a | 8 | 8 | 1", "b | 4 | 12 | 2", "c | 2 | 14 | 3"],
    ),
    rows(
        "SELECT x FROM (SELECT x, row_number() OVER (ORDER BY x DESC) AS n FROM (VALUES (5), (7), (6)) AS t (x)) WHERE n = 1",
        "x INTEGER",
        &["7"],
    ),
    ordered(
        "SELECT x FROM (VALUES (2), (3), (1)) AS t (x) ORDER BY row_number() OVER (ORDER BY x)",
        "x INTEGER",
        &["1", "2", "3"],
    ),
    fails(
        "SELECT host FROM db.old WHERE row_number() OVER () = 1",
        "line 1:31: window function row_number is not allowed here",
    ),
    fails(
        "SELECT row_number() OVER (ORDER BY time RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) FROM db.old",
        "line 1:8: a frame bound that is no whole number of ROWS is not supported by the emulator",
    ),
    fails(
        "SELECT lag(host) IGNORE NULLS OVER (ORDER BY time) FROM db.old",
        "line 1:8: FILTER and like clauses of lag are not supported by the emulator",
    ),
    fails(
        "SELECT lower(host) OVER () FROM db.old",
        "line 1:8: Window function lower not registered",
    ),
    fails(
        "SELECT row_number() FROM db.old",
        "line 1:8: Function row_number not registered",
    ),
];
