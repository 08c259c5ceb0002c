//! Query: results of the forms of SQL, and errors.

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

use timestream_emulator::ColumnCase;

use crate::support::{OLD, Service, T0, measure, sample};

const HOUR: i64 = 3_600_000;

/// Returns a service with three series of `up` over two hours, one of them without `zone`, and one
/// of `down`.
async fn filled() -> Service {
    let service = Service::start().await;
    let a = [("job", "a'b"), ("instance", "x"), ("zone", "z1")];
    let b = [("job", "a'b"), ("instance", "y")];
    let c = [("job", "C"), ("instance", "x"), ("zone", "z2")];
    let mut records = Vec::new();
    for (index, dimensions) in [&a[..], &b[..], &c[..]].into_iter().enumerate() {
        for (offset, value) in [(0, 1.5), (1, 2.0), (HOUR, 3.0)] {
            let value = (value + index as f64 * 10.0).to_string();
            records.push(sample(dimensions, T0 + offset, &value));
        }
    }
    records.push(measure("down", &b, T0, "7"));
    service.put(OLD, records).await;
    service
}

#[tokio::test]
async fn the_connectors_read() {
    let service = filled().await;
    let sql = format!(
        r#"SELECT "job", "instance", "zone", measure_name, CREATE_TIME_SERIES(time, measure_value::double) AS "samples"
        FROM "db"."old"
        WHERE measure_name = 'up' AND time BETWEEN from_milliseconds({T0}) AND from_milliseconds({})
        AND "job" = 'a''b' AND ("zone" IS NULL OR "zone" <> 'x') AND "instance" IN ('x','y')
        AND regexp_like("instance", '(?s)\A(?:x.*|y)\z')
        AND NOT regexp_like(COALESCE("zone", ''), '(?s)\A(?:a|b)\z')
        GROUP BY "job", "instance", "zone", measure_name, bin(time, 1h)"#,
        T0 + HOUR
    );
    let expected = [
        [
            "a'b",
            "x",
            "z1",
            "up",
            "[2020-09-13 12:26:40.000000000=1.5,2020-09-13 12:26:40.001000000=2.0]",
        ],
        [
            "a'b",
            "x",
            "z1",
            "up",
            "[2020-09-13 13:26:40.000000000=3.0]",
        ],
        [
            "a'b",
            "y",
            "NULL",
            "up",
            "[2020-09-13 12:26:40.000000000=11.5,2020-09-13 12:26:40.001000000=12.0]",
        ],
        [
            "a'b",
            "y",
            "NULL",
            "up",
            "[2020-09-13 13:26:40.000000000=13.0]",
        ],
    ];
    assert_eq!(service.sorted(&sql).await, expected);
    let page = service
        .query
        .query()
        .query_string(&sql)
        .send()
        .await
        .unwrap();
    let names: Vec<&str> = page
        .column_info()
        .iter()
        .filter_map(|column| column.name())
        .collect();
    assert_eq!(
        names,
        ["job", "instance", "zone", "measure_name", "samples"]
    );
    let series = page.column_info()[4]
        .r#type()
        .unwrap()
        .time_series_measure_value_column_info();
    let scalar = series.unwrap().r#type().unwrap().scalar_type().unwrap();
    assert_eq!(scalar.as_str(), "DOUBLE");
}

#[tokio::test]
async fn label_only_reads() {
    let service = filled().await;
    let sql = format!(
        r#"SELECT DISTINCT "job", "instance", measure_name FROM "db"."old"
        WHERE measure_name = 'up' AND time BETWEEN from_milliseconds({}) AND from_milliseconds({})"#,
        T0 + 2,
        T0 + HOUR
    );
    assert_eq!(
        service.sorted(&sql).await,
        [["C", "x", "up"], ["a'b", "x", "up"], ["a'b", "y", "up"]]
    );
    let later = sql.replace(&(T0 + 2).to_string(), &(T0 + HOUR + 1).to_string());
    assert!(
        service
            .rows(&later.replace(&format!("({})", T0 + HOUR), &format!("({})", T0 + 2 * HOUR)))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn conditions() {
    let service = filled().await;
    // (condition, rows of measure `up` it selects)
    let cases = [
        ("true", 9),
        ("false", 0),
        ("null", 0),
        ("zone = 'z1'", 3),
        ("zone <> 'z1'", 3),
        ("zone != 'z1'", 3),
        ("NOT zone = 'z1'", 3),
        ("zone IS NULL", 3),
        ("zone IS NOT NULL", 6),
        ("(zone IS NULL OR zone <> 'z1')", 6),
        ("zone IS DISTINCT FROM 'z1'", 6),
        ("zone = NULL", 0),
        ("zone IN ('z1', 'z2')", 6),
        ("zone NOT IN ('z1', NULL)", 0),
        ("job = 'c'", 0),
        ("job = 'C' AND zone = 'z2'", 3),
        ("job = 'C' OR instance = 'y'", 6),
        ("job LIKE 'a_b'", 6),
        ("job LIKE 'c%'", 0),
        ("job NOT LIKE 'a%'", 3),
        ("job LIKE 'a!''b' ESCAPE '!'", -1),
        ("regexp_like(job, 'b')", 6),
        ("regexp_like(zone, '2')", 3),
        ("NOT regexp_like(zone, '2')", 3),
        ("NOT regexp_like(coalesce(zone, ''), '2')", 6),
        ("measure_value::double > 10", 6),
        ("measure_value::double BETWEEN 1.5 AND 3", 3),
        ("measure_value::double NOT BETWEEN 1.5 AND 3", 6),
        ("measure_value::double % 2 = 0", 3),
        ("measure_value::double / 2 >= 6.5", 4),
        ("time = from_milliseconds(1600000000001)", 3),
        ("time > from_milliseconds(1600000000001)", 3),
        ("time < timestamp '2020-09-13 13:00'", 6),
        (
            "time >= timestamp '2020-09-13 12:26:40.001' AND time < ago(1d)",
            6,
        ),
        ("bin(time, 1h) = timestamp '2020-09-13 12:00:00'", 6),
        (
            "date_trunc('hour', time) = timestamp '2020-09-13 13:00:00'",
            3,
        ),
        ("time - 1h = from_milliseconds(1600000000000)", 3),
        ("time BETWEEN NULL AND now()", 0),
        ("CASE WHEN zone IS NULL THEN true ELSE false END", 3),
        ("CASE zone WHEN 'z1' THEN 1 WHEN 'z2' THEN 2 END = 2", 3),
        ("job || instance = 'Cx'", 3),
        ("length(job) = 3", 6),
        ("\"old\".job = 'C'", 3),
        ("/* a comment */ job = 'C' -- another", 3),
    ];
    for (condition, expected) in cases {
        let sql =
            format!("SELECT count(*) FROM db.old WHERE measure_name = 'up' AND (\n{condition}\n)");
        if expected < 0 {
            service.query_error(&sql).await;
        } else {
            assert_eq!(
                service.value(&sql).await,
                expected.to_string(),
                "{condition}"
            );
        }
    }
}

#[tokio::test]
async fn expressions() {
    let service = Service::start().await;
    let cases = [
        ("1", "1"),
        ("1.0", "1.0"),
        ("1e10", "1.0E10"),
        ("7 / 2", "3"),
        ("-7 / 2", "-3"),
        ("7 / 2.0", "3.5"),
        ("7 % 4 + 2 * 3", "9"),
        ("true AND NULL", "NULL"),
        ("false AND NULL", "false"),
        ("true OR NULL", "true"),
        ("NOT NULL", "NULL"),
        ("NULL IS NULL", "true"),
        ("1 IN (2, NULL)", "NULL"),
        ("'a' || 'b' || NULL", "NULL"),
        ("'it''s'", "it's"),
        (r"'a\n'", r"a\n"),
        ("concat('a', 'b', 'c')", "abc"),
        ("upper('ab') || lower('CD')", "ABcd"),
        ("substr('hello', 2, 3)", "ell"),
        ("substring('hello', -3)", "llo"),
        ("coalesce(NULL, 'x', 'y')", "x"),
        ("nullif('a', 'a')", "NULL"),
        ("if(1 > 2, 'a', 'b')", "b"),
        ("greatest(1, 3, 2)", "3"),
        ("CAST('12' AS bigint) + 1", "13"),
        ("CAST(1.5 AS varchar)", "1.5"),
        ("CAST(2.5 AS bigint)", "3"),
        ("try_cast('x' AS double)", "NULL"),
        ("CAST(true AS varchar)", "true"),
        (
            "from_milliseconds(1600000000123)",
            "2020-09-13 12:26:40.123000000",
        ),
        ("from_nanoseconds(1)", "1970-01-01 00:00:00.000000001"),
        ("from_unixtime(1600000000)", "2020-09-13 12:26:40.000000000"),
        (
            "from_iso8601_timestamp('2020-09-13T14:26:40.5+02:00')",
            "2020-09-13 12:26:40.500000000",
        ),
        (
            "to_milliseconds(timestamp '2020-09-13 12:26:40.123')",
            "1600000000123",
        ),
        ("to_milliseconds(1h)", "3600000"),
        (
            "to_unixtime(timestamp '2020-09-13 12:26:40.5')",
            "1.6000000005E9",
        ),
        (
            "bin(timestamp '2020-09-13 12:26:40', 15m)",
            "2020-09-13 12:15:00.000000000",
        ),
        (
            "timestamp '2022-06-17 01:00' - 2d",
            "2022-06-15 01:00:00.000000000",
        ),
        (
            "timestamp '2022-06-17 01:00' + interval '2' day",
            "2022-06-19 01:00:00.000000000",
        ),
        (
            "timestamp '2022-06-17 01:00' - timestamp '2022-06-15 04:00'",
            "1 21:00:00.000000000",
        ),
        ("date '2022-05-21'", "2022-05-21"),
        ("100ms", "0 00:00:00.100000000"),
        (
            "date_diff('hour', timestamp '2022-06-17 01:00', timestamp '2022-06-17 05:30')",
            "4",
        ),
        ("year(timestamp '2022-06-17 01:00')", "2022"),
        ("nan()", "NaN"),
        ("nan() = nan()", "false"),
        ("now() = current_timestamp", "true"),
        ("ago(0s) = now()", "true"),
        ("floor(1.7) + ceil(1.2)", "3.0"),
        ("round(2.5)", "3.0"),
        ("-9223372036854775808", "-9223372036854775808"),
    ];
    for (expression, expected) in cases {
        let sql = format!("SELECT {expression}");
        assert_eq!(service.value(&sql).await, expected, "{expression}");
    }
}

#[tokio::test]
async fn aggregates_and_groups() {
    let service = filled().await;
    let cases: [(&str, &[&[&str]]); 16] = [
        (
            "SELECT count(*), count(zone), count(DISTINCT job) FROM db.old",
            &[&["10", "6", "2"]],
        ),
        (
            "SELECT count(*), sum(measure_value::double), max(time) FROM db.old WHERE job = 'none'",
            &[&["0", "NULL", "NULL"]],
        ),
        (
            "SELECT sum(measure_value::double), avg(measure_value::double) FROM db.old WHERE zone = 'z1'",
            &[&["6.5", "2.1666666666666665"]],
        ),
        (
            "SELECT min(time), max(measure_value::double) FROM db.old",
            &[&["2020-09-13 12:26:40.000000000", "23.0"]],
        ),
        (
            "SELECT max_by(instance, measure_value::double), min_by(job, time) FROM db.old WHERE zone = 'z2'",
            &[&["x", "C"]],
        ),
        (
            "SELECT approx_percentile(measure_value::double, 0.5) FROM db.old WHERE zone = 'z1'",
            &[&["2.0"]],
        ),
        (
            "SELECT job, count(*) FROM db.old GROUP BY job ORDER BY job",
            &[&["C", "3"], &["a'b", "7"]],
        ),
        (
            "SELECT job, count(*) AS n FROM db.old GROUP BY 1 HAVING count(*) > 3 ORDER BY n",
            &[&["a'b", "7"]],
        ),
        (
            "SELECT bin(time, 1h) AS hour, count(*) FROM db.old GROUP BY bin(time, 1h) ORDER BY hour DESC",
            &[
                &["2020-09-13 13:00:00.000000000", "3"],
                &["2020-09-13 12:00:00.000000000", "7"],
            ],
        ),
        (
            "SELECT zone, count(*) FROM db.old GROUP BY zone ORDER BY zone",
            &[&["z1", "3"], &["z2", "3"], &["NULL", "4"]],
        ),
        (
            "SELECT zone, count(*) FROM db.old GROUP BY zone ORDER BY zone DESC NULLS FIRST",
            &[&["NULL", "4"], &["z2", "3"], &["z1", "3"]],
        ),
        (
            "SELECT DISTINCT job FROM db.old ORDER BY job",
            &[&["C"], &["a'b"]],
        ),
        (
            "SELECT upper(job) || '!' FROM db.old GROUP BY upper(job) ORDER BY 1",
            &[&["A'B!"], &["C!"]],
        ),
        (
            "SELECT avg(n) FROM (SELECT count(*) AS n FROM db.old GROUP BY job)",
            &[&["5.0"]],
        ),
        (
            "WITH t AS (SELECT job, time FROM db.old WHERE zone = 'z1') SELECT count(time) FROM t WHERE t.job = 'a''b'",
            &[&["3"]],
        ),
        (
            "SELECT measure_value::double FROM db.old WHERE measure_name = 'up' ORDER BY measure_value::double DESC LIMIT 2",
            &[&["23.0"], &["22.0"]],
        ),
    ];
    for (sql, expected) in cases {
        assert_eq!(service.rows(sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn columns_are_named_and_typed() {
    let service = filled().await;
    let sql = "SELECT job, time AS \"a b\", measure_value::double, 1, count(*) FROM db.old GROUP BY 1, 2, 3";
    let page = service
        .query
        .query()
        .query_string(sql)
        .send()
        .await
        .unwrap();
    let columns: Vec<(&str, &str)> = page
        .column_info()
        .iter()
        .map(|column| {
            let scalar = column.r#type().and_then(|of| of.scalar_type());
            (
                column.name().unwrap_or_default(),
                scalar.map_or("", |scalar| scalar.as_str()),
            )
        })
        .collect();
    let expected = [
        ("job", "VARCHAR"),
        ("a b", "TIMESTAMP"),
        ("measure_value::double", "DOUBLE"),
        ("_col3", "INTEGER"),
        ("_col4", "BIGINT"),
    ];
    assert_eq!(columns, expected);
    assert_eq!(
        page.query_status().unwrap().cumulative_bytes_metered(),
        10_000_000
    );
    assert!(page.query_id().len() <= 64 && page.query_id().starts_with("AEBQEAN"));
    let rows = service
        .rows("SELECT * FROM db.old WHERE measure_name = 'down'")
        .await;
    assert_eq!(
        rows,
        [[
            "y",
            "a'b",
            "NULL",
            "down",
            "2020-09-13 12:26:40.000000000",
            "7.0"
        ]]
    );
}

#[tokio::test]
async fn groups_come_in_no_useful_order() {
    let service = Service::start().await;
    let jobs: Vec<String> = (10..60).map(|n| n.to_string()).collect();
    service
        .put(
            OLD,
            jobs.iter()
                .map(|job| sample(&[("job", job)], T0, "1"))
                .collect(),
        )
        .await;
    let sql = "SELECT job FROM db.old GROUP BY job";
    let rows = service.rows(sql).await;
    assert!(!rows.is_sorted());
    assert_eq!(rows, service.rows(sql).await, "but always the same");
}

#[tokio::test]
async fn show_and_describe() {
    let service = filled().await;
    let cases: [(&str, &[&[&str]]); 8] = [
        ("SHOW DATABASES", &[&["db"]]),
        ("SHOW DATABASES LIKE 'x%'", &[]),
        ("SHOW TABLES FROM \"db\" LIKE 'o_d'", &[&["old"]]),
        ("show tables", &[&["new"], &["old"]]),
        (
            "SHOW MEASURES FROM \"db\".\"old\" LIKE 'up'",
            &[&[
                "up",
                "double",
                "((instance,varchar),(job,varchar),(zone,varchar))",
            ]],
        ),
        (
            "SHOW MEASURES FROM db.old LIKE 'd%'",
            &[&["down", "double", "((instance,varchar),(job,varchar))"]],
        ),
        ("SHOW MEASURES FROM db.new", &[]),
        (
            "DESCRIBE \"db\".\"new\"",
            &[
                &["measure_name", "varchar", "MEASURE_NAME"],
                &["time", "timestamp", "TIMESTAMP"],
            ],
        ),
    ];
    for (sql, expected) in cases {
        assert_eq!(service.sorted(sql).await, expected, "{sql}");
    }
    let expected = [
        ["instance", "varchar", "DIMENSION"],
        ["job", "varchar", "DIMENSION"],
        ["zone", "varchar", "DIMENSION"],
        ["measure_name", "varchar", "MEASURE_NAME"],
        ["time", "timestamp", "TIMESTAMP"],
        ["measure_value::double", "double", "MEASURE_VALUE"],
    ];
    let mut described = service.rows("DESCRIBE db.old").await;
    described.sort();
    let mut expected = expected.map(|row| row.map(str::to_owned).to_vec());
    expected.sort();
    assert_eq!(described, expected);
}

#[tokio::test]
async fn columns_that_differ_in_case_are_distinct_or_not() {
    use ColumnCase::{Exact, Ignored, Strict};
    let of_pair = "SELECT \"zone\" FROM db.old";
    let of_time = "SELECT time FROM db.old";
    let joined = "SELECT a.job FROM db.old a JOIN db.old b USING (time)";
    let other_case = "SELECT \"JOB\" FROM db.old";
    let cases = [
        (Exact, of_pair, Ok("z")),
        (Exact, of_time, Ok("2020-09-13 12:26:40.000000000")),
        (Exact, other_case, Err("Column 'JOB' does not exist")),
        (Ignored, of_pair, Err("Column 'zone' is ambiguous")),
        (Ignored, of_time, Err("Column 'time' is ambiguous")),
        (
            Ignored,
            joined,
            Err("Column 'time' is ambiguous on left side of join"),
        ),
        (Ignored, other_case, Ok("j")),
        (Strict, of_pair, Err("Column 'zone' is ambiguous")),
        (Strict, of_time, Err("Column 'time' is ambiguous")),
        (
            Strict,
            joined,
            Err("Column 'time' is ambiguous on left side of join"),
        ),
        (Strict, other_case, Err("Column 'JOB' does not exist")),
        (Strict, "SELECT job FROM db.old", Ok("j")),
    ];
    for (column_case, sql, expected) in cases {
        let service = Service::start_with(|config| config.column_case = column_case).await;
        let dimensions = [("job", "j"), ("zone", "z"), ("Zone", "Z"), ("Time", "t")];
        service.put(OLD, vec![sample(&dimensions, T0, "1")]).await;
        match expected {
            Ok(value) => assert_eq!(service.value(sql).await, value, "{column_case:?} {sql}"),
            Err(message) => {
                let query_error = service.query_error(sql).await;
                assert!(
                    query_error.ends_with(message),
                    "{column_case:?} {sql}: {query_error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn errors_name_the_element_and_its_place() {
    let service = filled().await;
    let cases = [
        (
            "SELECT zonk FROM db.old",
            "line 1:8: Column 'zonk' does not exist",
        ),
        (
            "SELECT job\nFROM db.old\nWHERE \"Job\" = 'a'",
            "line 3:7: Column 'Job' does not exist",
        ),
        (
            "SELECT measure_value::bigint FROM db.old",
            "line 1:8: Column 'measure_value::bigint' does not exist",
        ),
        (
            "SELECT \"measure_value::bigint\" FROM db.old",
            "line 1:8: Column 'measure_value::bigint' does not exist",
        ),
        (
            "SELECT job FROM db.new",
            "line 1:8: Column 'job' does not exist",
        ),
        (
            "SELECT time, job, 1, 2, 3, 4, 5 FROM abc.t",
            "Requested database 'abc' not found for identifier 'abc.t' at line 1:38",
        ),
        (
            "SELECT 1 FROM db.none",
            "line 1:15: Table 'db.none' does not exist",
        ),
        (
            "SHOW MEASURES FROM \"db\".\"none\"",
            "Table 'db.none' does not exist",
        ),
        (
            "DESCRIBE nodb.t",
            "Requested database 'nodb' not found for identifier 'nodb.t' at line 1:10",
        ),
        ("SELECT", "line 1:"),
        ("SELEC 1", "line 1:1: mismatched input 'SELEC'"),
        ("SELECT 1;", "line 1:9: mismatched input ';'"),
        ("SELECT 1 FROM db.old WHERE", ""),
        ("SELECT E'x'", ""),
        ("SELECT [1]", ""),
        ("SELECT $$x$$", ""),
        ("SELECT N'x'", ""),
        ("SELECT X'00'", ""),
        ("SELECT `job` FROM db.old", ""),
        ("SELECT job FROM db.old OFFSET 1", "OFFSET"),
        ("SELECT job FROM db.old LIMIT 1 OFFSET 1", "OFFSET"),
        ("SELECT job 'alias' FROM db.old", ""),
        (
            "SELECT job::varchar FROM db.old",
            "line 1:8: the expression",
        ),
        ("SELECT job FROM db.old WHERE job ILIKE 'a'", "ILIKE"),
        ("SELECT job FROM db.old WHERE job ~ 'a'", "'~'"),
        ("SELECT foo(1)", "line 1:8: Function foo not registered"),
        (
            "SELECT lower(1)",
            "Unexpected parameters (integer) for function lower",
        ),
        (
            "SELECT job FROM db.old WHERE job = 1",
            "'=' cannot be applied to varchar, integer",
        ),
        (
            "SELECT job FROM db.old WHERE time > '2020-01-01'",
            "'>' cannot be applied to timestamp, varchar",
        ),
        (
            "SELECT job FROM db.old WHERE job",
            "WHERE clause must evaluate to a boolean: actual type varchar",
        ),
        (
            "SELECT job, count(*) FROM db.old",
            "line 1:8: 'job' must be an aggregate expression or appear in GROUP BY clause",
        ),
        (
            "SELECT count(count(*)) FROM db.old",
            "aggregate function count",
        ),
        (
            "SELECT job FROM db.old WHERE count(*) > 1",
            "aggregate function count",
        ),
        (
            "SELECT DISTINCT job FROM db.old ORDER BY time",
            "ORDER BY expressions must appear in select list",
        ),
        ("SELECT 1 / 0", "Division by zero"),
        (
            "SELECT from_milliseconds(-1)",
            "outside the supported range",
        ),
        (
            "SELECT from_milliseconds(9223372036854775807)",
            "outside the supported range",
        ),
        ("SELECT 9223372036854775808", "Invalid numeric literal"),
        ("SELECT CAST('x' AS double)", "Cannot cast 'x' to double"),
        (
            "SELECT job FROM db.old WHERE regexp_like(job, 'a$')",
            "\"$\" is not supported",
        ),
        (
            "SELECT job FROM db.old WHERE regexp_like(job, '(?P<n>a)')",
            "(?P",
        ),
        (
            "SELECT job FROM db.old WHERE regexp_like(job, '(a')",
            "Unclosed group",
        ),
        (
            "SELECT CREATE_TIME_SERIES(time, measure_value::double) FROM db.old WHERE 1",
            "WHERE clause",
        ),
        ("SELECT 1h30m", ""),
        ("SELECT 1x", "identifiers must not start with a digit"),
        ("INSERT INTO db.old VALUES (1)", "mismatched input 'INSERT'"),
        ("DELETE FROM db.old", "mismatched input 'DELETE'"),
        ("SHOW MEASURES", "mismatched input"),
        ("SELECT time FROM old", "database"),
    ];
    for (sql, expected) in cases {
        let message = service.query_error(sql).await;
        assert!(message.contains(expected), "{sql}: {message}");
        assert!(!message.is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn very_deep_queries_do_not_end_the_process() {
    let service = filled().await;
    let ors = vec!["job = 'a'"; 9000].join(" OR ");
    assert_eq!(
        service
            .value(&format!("SELECT count(*) FROM db.old WHERE {ors}"))
            .await,
        "0"
    );
    let sum = vec!["1"; 9000].join("+");
    assert_eq!(service.value(&format!("SELECT {sum}")).await, "9000");
    let list = vec!["'x'"; 40_000].join(",");
    assert_eq!(
        service
            .value(&format!(
                "SELECT count(*) FROM db.old WHERE job IN ({list})"
            ))
            .await,
        "0"
    );
    let brackets = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    assert!(
        service
            .query_error(&brackets)
            .await
            .contains("nested too deeply")
    );
    let operators = vec!["1"; 60_000].join("+");
    assert!(
        service
            .query_error(&format!("SELECT {operators}"))
            .await
            .contains("operators")
    );
    let nested = |depth| format!("{}SELECT 1{}", "SELECT (".repeat(depth), ")".repeat(depth));
    assert_eq!(service.value(&nested(60)).await, "1");
    assert!(
        service
            .query_error(&nested(5000))
            .await
            .contains("nested too deeply")
    );
    let derived = |depth| {
        let (start, end) = ("SELECT * FROM (".repeat(depth), ")".repeat(depth));
        format!("{start}SELECT count(*) FROM db.old{end}")
    };
    assert_eq!(service.value(&derived(60)).await, "10");
    let union = vec!["SELECT 1"; 2000].join(" UNION ALL ");
    assert_eq!(service.rows(&union).await.len(), 2000);
    let nots = format!("SELECT {} true", "NOT ".repeat(5000));
    service.query_error(&nots).await;
}

/// With any quoting, a dimension value that is written is found by equality, by LIKE and by a join,
/// and comes back.
#[test]
fn any_dimension_value_survives() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let service = runtime.block_on(Service::start());
    let values = vec(
        any::<String>().prop_filter("empty", |value| !value.is_empty()),
        1..5,
    );
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&values, |values| {
        runtime.block_on(async {
            for value in &values {
                service
                    .put(OLD, vec![sample(&[("job", value)], T0, "1")])
                    .await;
                let literal = format!("'{}'", value.replace('\'', "''"));
                let sql = format!("SELECT job, {literal} FROM db.old WHERE job = {literal}");
                assert_eq!(service.rows(&sql).await, [[value.clone(), value.clone()]]);
                let mut pattern = String::new();
                for char in literal.chars() {
                    if ['!', '%', '_'].contains(&char) {
                        pattern.push('!');
                    }
                    pattern.push(char);
                }
                let sql = format!("SELECT job FROM db.old WHERE job LIKE {pattern} ESCAPE '!'");
                assert_eq!(service.rows(&sql).await, [[value.clone()]]);
                let sql = format!(
                    "SELECT o.job FROM db.old o JOIN (VALUES ({literal})) AS v (x) ON o.job = v.x"
                );
                assert_eq!(service.rows(&sql).await, [[value.clone()]]);
            }
        });
        Ok(())
    });
    outcome.expect("every value comes back");
}
