//! Joins, UNNEST, set operations, VALUES, WITH and sub-queries.

use super::{Case, fails, ordered, rows};

pub(super) const CASES: &[Case] = &[
    // DG:supported-sql-constructs.SELECT; Presto, "SELECT": VALUES.
    ordered(
        "VALUES (2, 'b'), (1, 'a') ORDER BY 1",
        "_col0 INTEGER, _col1 VARCHAR",
        &["1 | a", "2 | b"],
    ),
    rows(
        "SELECT n, name FROM (VALUES (1, 'a'), (2, 'b')) AS t (n, name)",
        "n INTEGER, name VARCHAR",
        &["1 | a", "2 | b"],
    ),
    rows(
        "VALUES (1, NULL), (2.5, 'b')",
        "_col0 DOUBLE, _col1 VARCHAR",
        &["1.0 | NULL", "2.5 | b"],
    ),
    fails(
        "SELECT * FROM (VALUES (1, 2)) AS t (a)",
        "line 1:37: Column alias list has 1 entries but 't' has 2 columns available",
    ),
    fails(
        "VALUES (1), (1, 2)",
        "VALUES query has different number of fields: 1, 2",
    ),
    // Joins: the same sections.
    rows(
        "SELECT l.k, l.v, r.v FROM (VALUES (1, 'a'), (2, 'b')) AS l (k, v) JOIN (VALUES (1, 'x'), (1, 'y'), (3, 'z')) AS r (k, v) ON l.k = r.k",
        "k INTEGER, v VARCHAR, v VARCHAR",
        &["1 | a | x", "1 | a | y"],
    ),
    rows(
        "SELECT l.k, r.k FROM (VALUES (1), (2)) AS l (k) LEFT JOIN (VALUES (1), (3)) AS r (k) ON l.k = r.k",
        "k INTEGER, k INTEGER",
        &["1 | 1", "2 | NULL"],
    ),
    rows(
        "SELECT l.k, r.k FROM (VALUES (1), (2)) AS l (k) RIGHT OUTER JOIN (VALUES (1), (3)) AS r (k) ON l.k = r.k",
        "k INTEGER, k INTEGER",
        &["1 | 1", "NULL | 3"],
    ),
    rows(
        "SELECT l.k, r.k FROM (VALUES (1), (2)) AS l (k) FULL OUTER JOIN (VALUES (1), (3)) AS r (k) ON l.k = r.k",
        "k INTEGER, k INTEGER",
        &["1 | 1", "2 | NULL", "NULL | 3"],
    ),
    rows(
        "SELECT a, b FROM (VALUES (1), (2)) AS l (a) CROSS JOIN (VALUES (3), (4)) AS r (b)",
        "a INTEGER, b INTEGER",
        &["1 | 3", "1 | 4", "2 | 3", "2 | 4"],
    ),
    rows(
        "SELECT a, b FROM (VALUES (1), (2)) AS l (a), (VALUES (3)) AS r (b) WHERE a = 2",
        "a INTEGER, b INTEGER",
        &["2 | 3"],
    ),
    rows(
        "SELECT a, b FROM (VALUES (1), (2), (3)) AS l (a) JOIN (VALUES (2), (3)) AS r (b) ON a < b",
        "a INTEGER, b INTEGER",
        &["1 | 2", "1 | 3", "2 | 3"],
    ),
    rows(
        "SELECT a, b FROM (VALUES (1), (NULL)) AS l (a) JOIN (VALUES (1), (NULL)) AS r (b) ON a = b",
        "a INTEGER, b INTEGER",
        &["1 | 1"],
    ),
    rows(
        "SELECT a, b FROM (VALUES (1)) AS l (a) JOIN (VALUES (1.0)) AS r (b) ON a = b",
        "a INTEGER, b DOUBLE",
        &["1 | 1.0"],
    ),
    rows(
        "SELECT a, b FROM (VALUES (1), (2)) AS l (a) LEFT JOIN (VALUES (1), (2)) AS r (b) ON a = b AND b > 1",
        "a INTEGER, b INTEGER",
        &["1 | NULL", "2 | 2"],
    ),
    // USING: its columns come first and only once; then no qualifier can stand before them.
    rows(
        "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS l (k, v) FULL JOIN (VALUES ('x', 1), ('z', 3)) AS r (w, k) USING (k)",
        "k INTEGER, v VARCHAR, w VARCHAR",
        &["1 | a | x", "2 | b | NULL", "3 | NULL | z"],
    ),
    fails(
        "SELECT l.k FROM (VALUES (1)) AS l (k) JOIN (VALUES (1)) AS r (k) USING (k)",
        "line 1:8: Column 'l.k' does not exist",
    ),
    fails(
        "SELECT 1 FROM (VALUES (1)) AS l (k) JOIN (VALUES (1)) AS r (j) USING (k)",
        "line 1:71: Column 'k' is missing from right side of join",
    ),
    fails(
        "SELECT k FROM (VALUES (1)) AS l (k) JOIN (VALUES (1)) AS r (k) ON true",
        "line 1:8: Column 'k' is ambiguous",
    ),
    fails(
        "SELECT 1 FROM (VALUES (1)) AS l (k) JOIN (VALUES (1)) AS r (j) ON k",
        "line 1:67: JOIN ON clause must evaluate to a boolean: actual type integer",
    ),
    fails(
        "SELECT 1 FROM db.old NATURAL JOIN db.new",
        "NATURAL JOIN is not supported by the emulator",
    ),
    // The tables themselves.
    rows(
        "SELECT c.host, c.measure_value::double, m.measure_value::bigint FROM db.old c JOIN db.old m ON c.host = m.host AND c.time = m.time \
         WHERE c.measure_name = 'cpu' AND m.measure_name = 'memory'",
        "host VARCHAR, measure_value::double DOUBLE, measure_value::bigint BIGINT",
        &["a | 1.5 | 7", "a | 2.5 | -3"],
    ),
    rows(
        "SELECT count(*) FROM db.old o LEFT JOIN db.new n ON o.time = n.time",
        "_col0 BIGINT",
        &["14"],
    ),
    rows(
        "SELECT r.* FROM (VALUES (1)) AS l (a), (VALUES (2, 3)) AS r (b, c)",
        "b INTEGER, c INTEGER",
        &["2 | 3"],
    ),
    fails("SELECT x.* FROM db.old", "line 1:8: Table 'x' not found"),
    rows(
        "SELECT a, b, c FROM (VALUES (1)) AS x (a) JOIN ((VALUES (1), (2)) AS y (b) JOIN (VALUES (2)) AS z (c) ON b = c) ON a < b",
        "a INTEGER, b INTEGER, c INTEGER",
        &["1 | 2 | 2"],
    ),
    // DG:timeseries-specific-constructs.views: UNNEST gives time and value.
    ordered(
        "SELECT s.host, t.time, t.value FROM (SELECT host, CREATE_TIME_SERIES(time, measure_value::double) AS ts FROM db.old \
         WHERE measure_name = 'cpu' AND host <> 'a' GROUP BY host) AS s CROSS JOIN UNNEST(s.ts) AS t (time, value) ORDER BY 1, 2",
        "host VARCHAR, time TIMESTAMP, value DOUBLE",
        &[
            "b | 2020-09-13 12:00:00.000000000 | 10.0",
            "b | 2020-09-13 12:01:00.000000000 | 20.0",
            "c | 2020-09-13 12:01:00.000000000 | 100.0",
        ],
    ),
    rows(
        "WITH s AS (SELECT host, CREATE_TIME_SERIES(time, measure_value::double) AS ts FROM db.old WHERE measure_name = 'cpu' GROUP BY host) \
         SELECT host, max(value) FROM s CROSS JOIN UNNEST(ts) AS t (time, value) GROUP BY host",
        "host VARCHAR, _col1 DOUBLE",
        &["a | 4.0", "b | 20.0", "c | 100.0"],
    ),
    rows(
        "SELECT x FROM UNNEST(ARRAY[1, 2]) AS t (x)",
        "x INTEGER",
        &["1", "2"],
    ),
    ordered(
        "SELECT x, y, n FROM UNNEST(ARRAY[1, 2], ARRAY['a']) WITH ORDINALITY AS t (x, y, n) ORDER BY n",
        "x INTEGER, y VARCHAR, n BIGINT",
        &["1 | a | 1", "2 | NULL | 2"],
    ),
    rows(
        "SELECT a, x FROM (VALUES (1, ARRAY[5, 6]), (2, ARRAY[7])) AS t (a, list), UNNEST(list) AS u (x)",
        "a INTEGER, x INTEGER",
        &["1 | 5", "1 | 6", "2 | 7"],
    ),
    rows(
        "SELECT a, x FROM (VALUES (1, ARRAY[5]), (2, NULL)) AS t (a, list) LEFT JOIN UNNEST(list) AS u (x) ON true",
        "a INTEGER, x INTEGER",
        &["1 | 5", "2 | NULL"],
    ),
    fails(
        "SELECT x FROM UNNEST(1) AS t (x)",
        "line 1:22: Cannot unnest type: integer",
    ),
    fails(
        "SELECT 1 FROM generate_series(1, 2)",
        "generate_series(1, 2) is not supported by the emulator",
    ),
    // Presto, "SELECT": set operations remove duplicates without ALL.
    ordered(
        "SELECT 1 AS x UNION SELECT 2 UNION SELECT 1 ORDER BY x DESC",
        "x INTEGER",
        &["2", "1"],
    ),
    rows("SELECT 1 UNION ALL SELECT 1", "_col0 INTEGER", &["1", "1"]),
    rows("SELECT 1 UNION SELECT 2.5", "_col0 DOUBLE", &["1.0", "2.5"]),
    rows(
        "VALUES (1), (2), (2), (NULL), (NULL) INTERSECT VALUES (2), (3), (NULL)",
        "_col0 INTEGER",
        &["2", "NULL"],
    ),
    rows(
        "VALUES (1), (1), (2), (NULL) EXCEPT VALUES (2)",
        "_col0 INTEGER",
        &["1", "NULL"],
    ),
    rows(
        "SELECT 1 UNION SELECT 2 INTERSECT SELECT 3",
        "_col0 INTEGER",
        &["1"],
    ),
    rows(
        "(SELECT 1 UNION ALL SELECT 2) EXCEPT SELECT 1",
        "_col0 INTEGER",
        &["2"],
    ),
    ordered(
        "(SELECT host FROM db.old WHERE temp > 0 LIMIT 1) UNION ALL SELECT 'z' ORDER BY host DESC LIMIT 1",
        "host VARCHAR",
        &["z"],
    ),
    fails(
        "SELECT 1 UNION SELECT 1, 2",
        "UNION query has different number of fields: 1, 2",
    ),
    fails(
        "SELECT 1 UNION SELECT 'a'",
        "column 1 in UNION query has incompatible types: integer, varchar",
    ),
    fails(
        "SELECT 1 EXCEPT ALL SELECT 1",
        "EXCEPT ALL is not supported by the emulator",
    ),
    fails(
        "SELECT 1 AS x UNION SELECT 2 ORDER BY y",
        "line 1:39: Column 'y' does not exist",
    ),
    // Presto, "Mathematical Functions": NaN sorts after all numbers; NULL comes last.
    ordered(
        "SELECT x FROM (VALUES (nan()), (NULL), (infinity()), (1)) AS t (x) ORDER BY x",
        "x DOUBLE",
        &["1.0", "Infinity", "NaN", "NULL"],
    ),
    rows(
        "SELECT 1 AS \"table\", x AS \"natural\" FROM (VALUES (2)) AS \"with\" (x) WHERE \"with\".x = 2",
        "table INTEGER, natural INTEGER",
        &["1 | 2"],
    ),
    // WITH.
    rows(
        "WITH a AS (SELECT 1 AS x), b (y) AS (SELECT x + 1 FROM a) SELECT x, y FROM a, b",
        "x INTEGER, y BIGINT",
        &["1 | 2"],
    ),
    fails(
        "WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a",
        "WITH RECURSIVE is not supported by the emulator",
    ),
    // Sub-queries: DG:supported-sql-constructs.SELECT names scalar, IN and EXISTS.
    rows(
        "SELECT (SELECT max(measure_value::bigint) FROM db.old), (SELECT 1 WHERE false)",
        "_col0 BIGINT, _col1 INTEGER",
        &["7 | NULL"],
    ),
    rows(
        "SELECT host FROM db.old WHERE measure_value::double = (SELECT max(measure_value::double) FROM db.old)",
        "host VARCHAR",
        &["c"],
    ),
    rows(
        "SELECT DISTINCT host FROM db.old WHERE host IN (SELECT host FROM db.old WHERE measure_name = 'alive')",
        "host VARCHAR",
        &["a", "c"],
    ),
    rows(
        "SELECT 1 IN (SELECT 2.0), 2 IN (SELECT 2.0), 1 NOT IN (SELECT NULL), 1 NOT IN (SELECT 1 WHERE false)",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN, _col3 BOOLEAN",
        &["false | true | NULL | true"],
    ),
    rows(
        "SELECT EXISTS (SELECT 1 FROM db.new), NOT EXISTS (SELECT 1 FROM db.new)",
        "_col0 BOOLEAN, _col1 BOOLEAN",
        &["false | true"],
    ),
    rows(
        "SELECT o.host, o.measure_value::double FROM db.old o WHERE o.measure_name = 'cpu' AND o.time = \
         (SELECT max(i.time) FROM db.old i WHERE i.measure_name = 'cpu' AND i.host = o.host)",
        "host VARCHAR, measure_value::double DOUBLE",
        &["a | 4.0", "b | 20.0", "c | 100.0"],
    ),
    rows(
        "SELECT x FROM (VALUES (1), (2), (3)) AS a (x) WHERE EXISTS (SELECT 1 FROM (VALUES (2), (3)) AS b (y) WHERE y = x)",
        "x INTEGER",
        &["2", "3"],
    ),
    rows(
        "SELECT x FROM (VALUES (1), (2), (3)) AS a (x) WHERE NOT EXISTS (SELECT 1 FROM (VALUES (2), (3)) AS b (y) WHERE y = x)",
        "x INTEGER",
        &["1"],
    ),
    rows(
        "SELECT x, (SELECT count(*) FROM (VALUES (1), (2), (3)) AS b (y) WHERE y > x) FROM (VALUES (1), (3)) AS a (x)",
        "x INTEGER, _col1 BIGINT",
        &["1 | 2", "3 | 0"],
    ),
    rows(
        "SELECT x FROM (VALUES (1), (2)) AS a (x) WHERE x + 1 IN (SELECT y + x FROM (VALUES (1)) AS b (y))",
        "x INTEGER",
        &["1", "2"],
    ),
    rows(
        "SELECT count(*) FROM (VALUES (1), (2), (3)) AS a (x) WHERE x > (SELECT avg(y) FROM (VALUES (1), (2)) AS b (y) WHERE y <= x)",
        "_col0 BIGINT",
        &["2"],
    ),
    fails(
        "SELECT (SELECT host FROM db.old)",
        "Scalar sub-query has returned multiple rows",
    ),
    fails(
        "SELECT (SELECT 1, 2)",
        "line 1:9: Multiple columns returned by sub-query are not supported. Found 2",
    ),
    fails(
        "SELECT 1 IN (SELECT 'a')",
        "line 1:8: 'IN' cannot be applied to integer, varchar",
    ),
    fails(
        "SELECT 1 WHERE 1 = ANY (SELECT 1)",
        "line 1:16: the expression 1 = ANY(SELECT 1) is not supported by the emulator",
    ),
    fails(
        "SELECT count(*), (SELECT max(y) FROM (VALUES (1)) AS b (y) WHERE y = x) FROM (VALUES (1)) AS a (x) GROUP BY x",
        "line 1:19: a correlated sub-query after GROUP BY or aggregation is not supported by the emulator",
    ),
    fails(
        "SELECT (SELECT nowhere FROM db.old)",
        "line 1:16: Column 'nowhere' does not exist",
    ),
];
