//! Literals, operators, three-valued logic, strings, patterns, arrays and the form of output.

use super::{Case, fails, rows};

pub(super) const CASES: &[Case] = &[
    // Output of each type to the digit: the recorded responses of Grafana's Timestream data source.
    rows("SELECT 1", "_col0 INTEGER", &["1"]),
    rows("SELECT 3000000000", "_col0 BIGINT", &["3000000000"]),
    rows("SELECT 1.0", "_col0 DOUBLE", &["1.0"]),
    rows(
        "SELECT 0.001, 0.0001",
        "_col0 DOUBLE, _col1 DOUBLE",
        &["0.001 | 1.0E-4"],
    ),
    rows(
        "SELECT 9999999.0, 1e7",
        "_col0 DOUBLE, _col1 DOUBLE",
        &["9999999.0 | 1.0E7"],
    ),
    rows("SELECT 0.1 + 0.2", "_col0 DOUBLE", &["0.30000000000000004"]),
    rows("SELECT -1.5e300", "_col0 DOUBLE", &["-1.5E300"]),
    rows(
        "SELECT true, false",
        "_col0 BOOLEAN, _col1 BOOLEAN",
        &["true | false"],
    ),
    rows("SELECT NULL", "_col0 UNKNOWN", &["NULL"]),
    rows("SELECT 'text'", "_col0 VARCHAR", &["text"]),
    rows(
        "SELECT 1 AS a, 2, 'x' AS \"B c\"",
        "a INTEGER, _col1 INTEGER, B c VARCHAR",
        &["1 | 2 | x"],
    ),
    // Presto, "Mathematical Functions": the values of doubles that are no numbers.
    rows(
        "SELECT nan(), infinity(), -infinity()",
        "_col0 DOUBLE, _col1 DOUBLE, _col2 DOUBLE",
        &["NaN | Infinity | -Infinity"],
    ),
    rows(
        "SELECT is_nan(nan()), is_nan(1), is_finite(1), is_infinite(infinity())",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN, _col3 BOOLEAN",
        &["true | false | true | true"],
    ),
    rows(
        "SELECT nan() = nan(), nan() <> nan()",
        "_col0 BOOLEAN, _col1 BOOLEAN",
        &["false | true"],
    ),
    rows(
        "SELECT nan() < 1, nan() > 1",
        "_col0 BOOLEAN, _col1 BOOLEAN",
        &["false | false"],
    ),
    rows("SELECT 1 / 0.0", "_col0 DOUBLE", &["Infinity"]),
    fails("SELECT 1 / 0", "Division by zero"),
    fails("SELECT 1 % 0", "Division by zero"),
    // DG:mathematical-operators: the division of whole numbers truncates.
    rows(
        "SELECT 7 / 2, -7 / 2",
        "_col0 BIGINT, _col1 BIGINT",
        &["3 | -3"],
    ),
    rows(
        "SELECT 7 % 3, -7 % 3",
        "_col0 BIGINT, _col1 BIGINT",
        &["1 | -1"],
    ),
    rows("SELECT 7 / 2.0", "_col0 DOUBLE", &["3.5"]),
    rows("SELECT 2 + 3 * 4 - 1", "_col0 BIGINT", &["13"]),
    fails(
        "SELECT 9223372036854775807 + 1",
        "bigint overflow: 9223372036854775807 and 1",
    ),
    fails(
        "SELECT 9223372036854775808",
        "line 1:8: Invalid numeric literal: 9223372036854775808",
    ),
    // DG:logical-operators: the truth tables with NULL.
    rows(
        "SELECT true AND NULL, false AND NULL, NULL AND NULL",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN",
        &["NULL | false | NULL"],
    ),
    rows(
        "SELECT true OR NULL, false OR NULL, NULL OR NULL",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN",
        &["true | NULL | NULL"],
    ),
    rows("SELECT NOT NULL", "_col0 BOOLEAN", &["NULL"]),
    // DG:comparison-operators: with NULL a comparison is NULL, BETWEEN too unless one bound decides.
    rows(
        "SELECT 1 = NULL, NULL <> NULL, NULL IS NULL, 1 IS NOT NULL",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN, _col3 BOOLEAN",
        &["NULL | NULL | true | true"],
    ),
    rows(
        "SELECT 2 BETWEEN 1 AND 3, 4 BETWEEN 1 AND 3, 1 BETWEEN 1 AND 1, 2 BETWEEN 3 AND 1",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN, _col3 BOOLEAN",
        &["true | false | true | false"],
    ),
    rows(
        "SELECT NULL BETWEEN 2 AND 4, 2 BETWEEN NULL AND 6, 2 NOT BETWEEN NULL AND 6",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN",
        &["NULL | NULL | NULL"],
    ),
    rows("SELECT 8 BETWEEN NULL AND 6", "_col0 BOOLEAN", &["false"]),
    rows(
        "SELECT 1 IN (1, NULL), 2 IN (1, NULL), 2 NOT IN (1, NULL), NULL IN (1), 2 NOT IN (1)",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN, _col3 BOOLEAN, _col4 BOOLEAN",
        &["true | NULL | NULL | NULL | true"],
    ),
    rows(
        "SELECT NULL IS DISTINCT FROM NULL, 1 IS DISTINCT FROM NULL, 1 IS NOT DISTINCT FROM 1",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN",
        &["false | true | true"],
    ),
    rows(
        "SELECT greatest(1, 3, 2), least('b', 'a')",
        "_col0 INTEGER, _col1 VARCHAR",
        &["3 | a"],
    ),
    rows("SELECT greatest(1, NULL)", "_col0 INTEGER", &["NULL"]),
    // DG:conditional-expressions.
    rows(
        "SELECT CASE WHEN NULL THEN 1 ELSE 2 END",
        "_col0 INTEGER",
        &["2"],
    ),
    rows(
        "SELECT CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' END",
        "_col0 VARCHAR",
        &["b"],
    ),
    rows(
        "SELECT CASE WHEN false THEN 1 END",
        "_col0 INTEGER",
        &["NULL"],
    ),
    rows(
        "SELECT if(true, 1, 2.5), if(false, 1)",
        "_col0 DOUBLE, _col1 INTEGER",
        &["1.0 | NULL"],
    ),
    rows("SELECT coalesce(NULL, 2, 3)", "_col0 INTEGER", &["2"]),
    rows(
        "SELECT nullif(1, 1), nullif(1, 2)",
        "_col0 INTEGER, _col1 INTEGER",
        &["NULL | 1"],
    ),
    // DG:conversion-functions.
    rows(
        "SELECT CAST('12' AS bigint), CAST(1.5 AS varchar)",
        "_col0 BIGINT, _col1 VARCHAR",
        &["12 | 1.5"],
    ),
    rows(
        "SELECT CAST(2.5 AS bigint), CAST(-2.5 AS bigint)",
        "_col0 BIGINT, _col1 BIGINT",
        &["3 | -3"],
    ),
    rows("SELECT try_cast('x' AS double)", "_col0 DOUBLE", &["NULL"]),
    rows(
        "SELECT CAST('Infinity' AS double)",
        "_col0 DOUBLE",
        &["Infinity"],
    ),
    rows(
        "SELECT CAST(true AS varchar), CAST('TRUE' AS boolean)",
        "_col0 VARCHAR, _col1 BOOLEAN",
        &["true | true"],
    ),
    fails("SELECT CAST('x' AS double)", "Cannot cast 'x' to double"),
    fails(
        "SELECT CAST(3000000000 AS integer)",
        "Cannot cast '3000000000' to integer",
    ),
    fails(
        "SELECT CAST(1 AS decimal)",
        "line 1:13: the type decimal is not supported by the emulator",
    ),
    // Presto, "Lexical structure": a quote is doubled, a backslash is a character.
    rows(
        "SELECT 'it''s', '', 'a\\n'",
        "_col0 VARCHAR, _col1 VARCHAR, _col2 VARCHAR",
        &["it's |  | a\\n"],
    ),
    rows(
        "SELECT '\"', 'a\nb', 'Zürich ✓'",
        "_col0 VARCHAR, _col1 VARCHAR, _col2 VARCHAR",
        &["\" | a\nb | Zürich ✓"],
    ),
    rows("SELECT 1 AS \"a\"\"b\"", "a\"b INTEGER", &["1"]),
    rows("select 1 as A from db.old limit 1", "A INTEGER", &["1"]),
    // DG:string-operators, DG:string-functions.
    rows(
        "SELECT 'a' || 'b' || 'c', 'a' || NULL",
        "_col0 VARCHAR, _col1 VARCHAR",
        &["abc | NULL"],
    ),
    rows("SELECT concat('a', 'b', 'c')", "_col0 VARCHAR", &["abc"]),
    rows(
        "SELECT length('Zürich'), upper('ü'), lower('Ä')",
        "_col0 BIGINT, _col1 VARCHAR, _col2 VARCHAR",
        &["6 | Ü | ä"],
    ),
    rows(
        "SELECT substr('hello', 2, 3), substr('hello', -2), substr('hello', 0)",
        "_col0 VARCHAR, _col1 VARCHAR, _col2 VARCHAR",
        &["ell | lo | "],
    ),
    rows(
        "SELECT strpos('hello', 'l'), strpos('hello', 'x')",
        "_col0 BIGINT, _col1 BIGINT",
        &["3 | 0"],
    ),
    rows(
        "SELECT replace('aXbX', 'X'), replace('aXbX', 'X', 'y')",
        "_col0 VARCHAR, _col1 VARCHAR",
        &["ab | ayby"],
    ),
    rows(
        "SELECT split_part('a,b,c', ',', 2), split_part('a,b', ',', 3)",
        "_col0 VARCHAR, _col1 VARCHAR",
        &["b | NULL"],
    ),
    rows(
        "SELECT trim('  a '), ltrim(' a'), rtrim('a ')",
        "_col0 VARCHAR, _col1 VARCHAR, _col2 VARCHAR",
        &["a | a | a"],
    ),
    rows(
        "SELECT reverse('abc'), starts_with('abc', 'ab')",
        "_col0 VARCHAR, _col1 BOOLEAN",
        &["cba | true"],
    ),
    // DG:comparison-operators, LIKE; Presto, "Comparison Functions and Operators", ESCAPE.
    rows(
        "SELECT 'abc' LIKE 'a%', 'abc' LIKE 'a_c', 'abc' LIKE 'b%', 'abc' LIKE 'ABC'",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN, _col3 BOOLEAN",
        &["true | true | false | false"],
    ),
    rows(
        "SELECT 'a\nb' LIKE 'a%b', 'a.c' LIKE 'a.c', 'abc' LIKE 'a.c', '' LIKE '%', '' LIKE '_'",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN, _col3 BOOLEAN, _col4 BOOLEAN",
        &["true | true | false | true | false"],
    ),
    rows(
        "SELECT NULL LIKE 'a', 'a' LIKE NULL",
        "_col0 BOOLEAN, _col1 BOOLEAN",
        &["NULL | NULL"],
    ),
    rows(
        "SELECT '50%' LIKE '50!%' ESCAPE '!', '50x' LIKE '50!%' ESCAPE '!', 'a\\b' LIKE 'a\\b'",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN",
        &["true | false | true"],
    ),
    fails(
        "SELECT 'a' LIKE 'a' ESCAPE 'xx'",
        "line 1:8: Escape string must be a single character",
    ),
    fails(
        "SELECT 'a' LIKE 'a!b' ESCAPE '!'",
        "line 1:8: Escape character must be followed by '%', '_' or the escape character itself",
    ),
    // DG:regex-functions: a pattern is found anywhere; groups are numbered from 1.
    rows(
        "SELECT regexp_like('1a 2b 14m', '\\d+b'), regexp_like('ab', '^b'), regexp_like(NULL, 'a')",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 BOOLEAN",
        &["true | false | NULL"],
    ),
    rows(
        "SELECT regexp_extract('1a 2b 14m', '\\d+')",
        "_col0 VARCHAR",
        &["1"],
    ),
    rows(
        "SELECT regexp_extract('1a 2b 14m', '(\\d+)([a-z]+)', 2), regexp_extract('x', '\\d')",
        "_col0 VARCHAR, _col1 VARCHAR",
        &["a | NULL"],
    ),
    rows(
        "SELECT regexp_extract_all('1a 2b 14m', '\\d+')",
        "_col0 ARRAY(VARCHAR)",
        &["(1,2,14)"],
    ),
    rows(
        "SELECT regexp_extract_all('1a 2b 14m', '(\\d+)([a-z]+)', 2)",
        "_col0 ARRAY(VARCHAR)",
        &["(a,b,m)"],
    ),
    rows(
        "SELECT regexp_replace('1a 2b 14m', '\\d+[ab] '), regexp_replace('1a 2b', '(\\d+)([ab])', '3c$2 ')",
        "_col0 VARCHAR, _col1 VARCHAR",
        &["14m | 3ca  3cb "],
    ),
    rows(
        "SELECT regexp_replace('a.b', '\\.', '\\$')",
        "_col0 VARCHAR",
        &["a$b"],
    ),
    rows(
        "SELECT regexp_split('1a 2b 14m', '\\s*[a-z]+\\s*')",
        "_col0 ARRAY(VARCHAR)",
        &["(1,2,14,)"],
    ),
    fails(
        "SELECT regexp_extract('ab', '(a)', 2)",
        "line 1:8: Pattern has 1 groups. Cannot access group 2",
    ),
    fails(
        "SELECT regexp_split('ab', 'x*')",
        "line 1:8: invalid pattern 'x*': one that matches the empty text is not supported by the emulator",
    ),
    fails(
        "SELECT regexp_like('a', '(a')",
        "line 1:8: invalid pattern '(a': Unclosed group",
    ),
    // DG:array-functions, DG:subscript-operator: counted from 1.
    rows(
        "SELECT ARRAY[1, 2, 3]",
        "_col0 ARRAY(INTEGER)",
        &["(1,2,3)"],
    ),
    rows(
        "SELECT ARRAY[1, 2.5, NULL]",
        "_col0 ARRAY(DOUBLE)",
        &["(1.0,2.5,NULL)"],
    ),
    rows(
        "SELECT ARRAY['a', 'b'][1], ARRAY['a', 'b'][2]",
        "_col0 VARCHAR, _col1 VARCHAR",
        &["a | b"],
    ),
    fails("SELECT ARRAY[1][0]", "SQL array indices start at 1"),
    fails(
        "SELECT ARRAY[1][2]",
        "Array subscript must be less than or equal to array length: 2 > 1",
    ),
    fails("SELECT ARRAY[1][-1]", "Array subscript is negative: -1"),
    fails(
        "SELECT 'abc'[1]",
        "line 1:8: '[]' cannot be applied to varchar, integer",
    ),
    rows(
        "SELECT element_at(ARRAY[1, 2], -1), element_at(ARRAY[1, 2], 3), cardinality(ARRAY[1, 2])",
        "_col0 INTEGER, _col1 INTEGER, _col2 BIGINT",
        &["2 | NULL | 2"],
    ),
    rows(
        "SELECT contains(ARRAY[1, 2], 2), contains(ARRAY[1, NULL], 2), array_join(ARRAY[1, NULL, 3], '-')",
        "_col0 BOOLEAN, _col1 BOOLEAN, _col2 VARCHAR",
        &["true | NULL | 1-3"],
    ),
    rows(
        "SELECT sequence(1, 4), sequence(5, 1, -2)",
        "_col0 ARRAY(BIGINT), _col1 ARRAY(BIGINT)",
        &["(1,2,3,4) | (5,3,1)"],
    ),
    // Presto, "Mathematical Functions": round is half away from zero.
    rows(
        "SELECT round(2.5), round(-2.5), floor(-1.5), ceil(-1.5), abs(-3), sqrt(9)",
        "_col0 DOUBLE, _col1 DOUBLE, _col2 DOUBLE, _col3 DOUBLE, _col4 BIGINT, _col5 DOUBLE",
        &["3.0 | -3.0 | -2.0 | -1.0 | 3 | 3.0"],
    ),
    rows(
        "SELECT power(2, 10), mod(7, 4), sign(-2.0)",
        "_col0 DOUBLE, _col1 BIGINT, _col2 DOUBLE",
        &["1024.0 | 3 | -1.0"],
    ),
];
