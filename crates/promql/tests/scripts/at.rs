//! Evaluations with the modifier `@` at other times.

use promql::{At, Expr, ExprKind, Modifiers, ParserOptions};

/// Functions whose results depend on the time of the evaluation even if their arguments do not.
const UNSAFE_FUNCTIONS: [&str; 15] = [
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// Returns the query that looks at samples as `query` does at a time, whenever it is evaluated, and times to evaluate
/// it at. `None` if there is no such query.
pub(crate) fn fixed(query: &str, time_ms: i64) -> Option<(String, Vec<i64>)> {
    let parsed = promql::parse(query, &ParserOptions::everything());
    let mut expr = parsed.expect("it was parsed with the script");
    if !fix(&mut expr, time_ms) {
        return None;
    }
    let times = match time_ms {
        0 => vec![-1000, 0, 1000],
        _ => vec![-10 * time_ms, 0, time_ms / 5, time_ms, 10 * time_ms],
    };
    Some((expr.to_string(), times))
}

/// Sets the time of all selectors and subqueries that have none yet. Returns false if that does not fix the result.
fn fix(expr: &mut Expr, time_ms: i64) -> bool {
    let set = |modifiers: &mut Modifiers| {
        if !matches!(modifiers.at, Some(At::Time(_))) {
            modifiers.at = Some(At::Time(time_ms));
        }
        true
    };
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::Vector(selector) => set(&mut selector.modifiers),
        ExprKind::Matrix(matrix) => set(&mut matrix.selector.modifiers),
        // The inner expression is evaluated at times that the subquery fixes.
        ExprKind::Subquery(subquery) => set(&mut subquery.modifiers),
        ExprKind::Call(call) => {
            let mut is_fixed = !UNSAFE_FUNCTIONS.contains(&call.function.name);
            for argument in &mut call.arguments {
                is_fixed &= fix(argument, time_ms);
            }
            is_fixed
        }
        ExprKind::Aggregate(aggregate) => {
            let is_fixed = fix(&mut aggregate.expr, time_ms);
            let parameter = aggregate.parameter.as_mut();
            parameter.is_none_or(|parameter| fix(parameter, time_ms)) && is_fixed
        }
        ExprKind::Binary(chain) => {
            let mut is_fixed = fix(&mut chain.first, time_ms);
            for step in &mut chain.steps {
                is_fixed &= fix(&mut step.right, time_ms);
            }
            is_fixed
        }
        ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => fix(inner, time_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_and_subqueries_get_the_time() {
        for (query, expected) in [
            ("a", Some("a @ 60.000")),
            (
                "-(a @ 5 * on (x) b @ start())",
                Some("-(a @ 5.000 * on (x) b @ 60.000)"),
            ),
            (
                "topk(scalar(a), rate(b[5m]))",
                Some("topk(scalar(a @ 60.000), rate(b[5m] @ 60.000))"),
            ),
            (
                "max_over_time(vector(time())[5m:1m]) + min_over_time(a[1m:] @ 7)",
                Some(
                    "max_over_time(vector(time())[5m:1m] @ 60.000) + min_over_time(a[1m:] @ 7.000)",
                ),
            ),
            ("a + time()", None),
            ("sum(timestamp(a))", None),
            ("5", Some("5")),
        ] {
            let fixed = fixed(query, 60_000);
            assert_eq!(fixed.as_ref().map(|it| it.0.as_str()), expected, "{query}");
        }
        assert_eq!(fixed("a", 0).unwrap().1, [-1000, 0, 1000]);
        assert_eq!(fixed("a", 50).unwrap().1, [-500, 0, 10, 50, 500]);
    }
}
