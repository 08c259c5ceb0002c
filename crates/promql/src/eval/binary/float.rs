//! The functions of operators for floats.

/// Evaluates an expression with the function of an operator: a closure of its own type for each operator, so that loops
/// around it are compiled for each of them.
macro_rules! for_operator {
    (
        $op:expr,
        arithmetic($function:ident) => $arithmetic:expr,
        comparison($holds:ident) => $comparison:expr,
        other => $other:expr
    ) => {
        $crate::eval::binary::float::for_operator!(
            @match $op, $function, $arithmetic, $holds, $comparison, $other,
            [
                Add => |a, b| a + b,
                Sub => |a, b| a - b,
                Mul => |a, b| a * b,
                Div => |a, b| a / b,
                Mod => |a, b| a % b,
                Pow => |a, b| $crate::go_float::pow(a, b),
                Atan2 => |a, b| $crate::go_math::atan2(a, b),
            ],
            [
                Equal => |a, b| a == b,
                NotEqual => |a, b| a != b,
                Less => |a, b| a < b,
                LessEqual => |a, b| a <= b,
                Greater => |a, b| a > b,
                GreaterEqual => |a, b| a >= b,
            ]
        )
    };
    (
        @match $op:expr, $function:ident, $arithmetic:expr, $holds:ident, $comparison:expr, $other:expr,
        [$($number:ident => |$a:ident, $b:ident| $value:expr,)*],
        [$($condition:ident => |$c:ident, $d:ident| $truth:expr,)*]
    ) => {
        match $op {
            $($crate::ast::BinaryOp::$number => {
                let $function = |$a: f64, $b: f64| -> f64 { $value };
                $arithmetic
            })*
            $($crate::ast::BinaryOp::$condition => {
                let $holds = |$c: f64, $d: f64| -> bool { $truth };
                $comparison
            })*
            _ => $other,
        }
    };
}

pub(super) use for_operator;

/// Returns the result of a comparison with `bool`.
pub(super) fn zero_or_one(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
