//! Statements that are not SQL of the service, or not known to be.

use super::{Case, fails};

pub(super) const CASES: &[Case] = &[
    // Texts seen from the service: aws/aws-iot-fleetwise-edge#54, aws/aws-cdk#22062,
    // aws/aws-sdk-pandas#1036.
    fails(
        "SELECT time, measure_name, measure_value::double FROM db.old WHERE time > now() AND vehicleName = 'x'",
        "line 1:85: Column 'vehicleName' does not exist",
    ),
    fails(
        "SELECT host,\n  hosst\nFROM db.old",
        "line 2:3: Column 'hosst' does not exist",
    ),
    fails(
        "SELECT time, host, temp, region   FROM abc.sampleDB",
        "Requested database 'abc' not found for identifier 'abc.sampleDB' at line 1:40",
    ),
    fails(
        "SELECT host FROM db.new",
        "line 1:8: Column 'host' does not exist",
    ),
    fails(
        "SELECT host FROM db.nothere",
        "line 1:18: Table 'db.nothere' does not exist",
    ),
    fails(
        "SELECT host FROM old",
        "line 1:18: Session schema must be set: name the table as \"database\".\"table\"",
    ),
    fails(
        "DESCRIBE db.nothere",
        "line 1:10: Table 'db.nothere' does not exist",
    ),
    fails(
        "SELECT \"measure_value::timestamp\" FROM db.old",
        "line 1:8: Column 'measure_value::timestamp' does not exist",
    ),
    fails(
        "UNLOAD (SELECT host FROM db.old) TO 's3://bucket/prefix'",
        "line 1:1: UNLOAD is not supported by the emulator: there is no S3 to write to. Run the query in its brackets alone and read the result page by page.",
    ),
    fails(
        "SELECT measure_value::timestamp FROM db.old",
        "line 1:8: the expression measure_value::TIMESTAMP is not supported by the emulator",
    ),
    fails(
        "SELECT host::varchar FROM db.old",
        "line 1:8: the expression host::VARCHAR is not supported by the emulator",
    ),
    // DG:supported-sql-constructs.SELECT has no OFFSET, and Presto's lexical rules no such strings.
    fails(
        "SELECT host FROM db.old OFFSET 1",
        "OFFSET is not supported by the emulator",
    ),
    fails(
        "SELECT host FROM db.old LIMIT 1 OFFSET 1",
        "OFFSET is not supported by the emulator",
    ),
    fails(
        "SELECT host FROM db.old LIMIT -1",
        "line 1:32: LIMIT must be a whole number",
    ),
    fails("SELECT E'x'", "mismatched input 'x'"),
    fails(
        "SELECT $$x$$",
        "line 1:8: the expression $$x$$ is not supported by the emulator",
    ),
    fails(
        "SELECT [1]",
        "line 1:9: the expression [1] is not supported by the emulator",
    ),
    fails(
        "SELECT `host` FROM db.old",
        "line 1:8: Expected: an expression, found: `",
    ),
    fails("SELECT 'abc", "line 1:8: Unterminated string literal"),
    fails("SELECT 1;", "line 1:9: mismatched input ';'"),
    fails("SELECT 1 SELECT 2", "line 1:10: mismatched input 'SELECT'"),
    fails(
        "SELECT host FROM db.old WHERE",
        "line 1:30: Expected: an expression, found: EOF",
    ),
    fails("SELEC 1", "line 1:1: mismatched input 'SELEC'"),
    fails(
        "",
        "1 validation error detected: Value '' at 'queryString' failed to satisfy constraint: Member must have length greater than or equal to 1",
    ),
    fails(
        "INSERT INTO db.old VALUES (1)",
        "line 1:1: mismatched input 'INSERT'",
    ),
    fails(
        "SELECT 1x",
        "line 1:8: identifiers must not start with a digit: 1x",
    ),
    fails(
        "SELECT @host",
        "line 1:8: '@host' is a parameter, which only PrepareQuery takes",
    ),
    // DG:ts-limits, reserved keywords: names only in quotes.
    fails(
        "SELECT 1 AS natural",
        "line 1:13: mismatched input 'natural'",
    ),
    fails(
        "SELECT table FROM db.old",
        "line 1:8: mismatched input 'table'",
    ),
    fails(
        "SELECT host FROM db.old WHERE old.Escape = 'x'",
        "line 1:35: mismatched input 'Escape'",
    ),
    fails(
        "SELECT 1 FROM db.insert",
        "line 1:18: mismatched input 'insert'",
    ),
    fails(
        "SELECT 1 FROM db.old AS t (create)",
        "line 1:28: mismatched input 'create'",
    ),
    fails(
        "WITH prepare AS (SELECT 1) SELECT 1",
        "line 1:6: mismatched input 'prepare'",
    ),
    fails(
        "SELECT \"natural\" FROM db.old",
        "line 1:8: Column 'natural' does not exist",
    ),
    fails(
        "SELECT old.host FROM db.old AS o",
        "line 1:8: Column 'old.host' does not exist",
    ),
    fails(
        "SELECT host FROM db.old o JOIN db.new n ON count(*) > 1",
        "line 1:44: aggregate function count is not allowed here",
    ),
    // Types are not guessed.
    fails(
        "SELECT 1 FROM db.old WHERE host = 1",
        "line 1:28: '=' cannot be applied to varchar, integer",
    ),
    fails(
        "SELECT 1 FROM db.old WHERE host",
        "line 1:28: WHERE clause must evaluate to a boolean: actual type varchar",
    ),
    fails(
        "SELECT 'a' + 1",
        "line 1:8: '+' cannot be applied to varchar, integer",
    ),
    fails(
        "SELECT 1 || 'a'",
        "line 1:8: '||' cannot be applied to varchar, integer",
    ),
    fails("SELECT -'a'", "line 1:9: '-' cannot be applied to varchar"),
    fails(
        "SELECT coalesce(1, 'a')",
        "line 1:8: 'COALESCE' cannot be applied to integer, varchar",
    ),
    fails(
        "SELECT length(1)",
        "line 1:8: Unexpected parameters (integer) for function length",
    ),
    fails(
        "SELECT nothere(1)",
        "line 1:8: Function nothere not registered",
    ),
    fails(
        "SELECT ARRAY[1] = ARRAY[1]",
        "line 1:14: '=' cannot be applied to array(integer), array(integer)",
    ),
    // Not supported by the emulator, each by its name.
    fails(
        "SELECT host FROM db.old GROUP BY ROLLUP (host)",
        "line 1:42: the expression ROLLUP (host) is not supported by the emulator",
    ),
    fails(
        "SELECT host FROM db.old GROUP BY CUBE (host)",
        "line 1:40: the expression CUBE (host) is not supported by the emulator",
    ),
    fails(
        "SELECT host FROM db.old GROUP BY GROUPING SETS ((host))",
        "line 1:50: the expression GROUPING SETS ((host)) is not supported by the emulator",
    ),
    fails(
        "SELECT host FROM db.old TABLESAMPLE BERNOULLI (10)",
        "db.old TABLESAMPLE BERNOULLI (10) is not supported by the emulator",
    ),
    fails(
        "SELECT x FROM (VALUES (1)) AS t (x), LATERAL (SELECT x) AS u (y)",
        "LATERAL is not supported by the emulator",
    ),
    fails(
        "SELECT sum(1) OVER w FROM db.old WINDOW w AS ()",
        "WINDOW is not supported by the emulator",
    ),
];
