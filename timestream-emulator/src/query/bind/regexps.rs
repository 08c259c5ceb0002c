//! Functions of regular expressions, whose pattern must be known before the query runs.

use sqlparser::ast::Expr as Ast;

use super::{Binder, Bound, Typed, boolean, coerce::all_of_type, error, null};
use crate::query::{
    expr::Expr,
    pattern::Pattern,
    regexp::RegexpFunction,
    types::{Datum, Type},
};

impl Binder<'_> {
    pub(super) fn regexp_like(&mut self, ast: &Ast, text: &Ast, pattern: &Ast) -> Bound {
        let text = self.bind(text)?;
        let text = all_of_type(ast, "regexp_like", vec![text], &Type::Varchar)?.remove(0);
        let Some(pattern) = self.constant_text(pattern, "the pattern of regexp_like")? else {
            return Ok(null(Type::Boolean));
        };
        let pattern = Pattern::java(&pattern)
            .map_err(|message| error(ast, format!("invalid pattern '{pattern}': {message}")))?;
        Ok(boolean(Expr::Matches(Box::new(text), pattern)))
    }

    /// Binds `function(text, pattern[, group or replacement])`.
    pub(super) fn regexp_call(
        &mut self,
        ast: &Ast,
        name: &str,
        function: RegexpFunction,
        arguments: &[&Ast],
    ) -> Bound {
        let (text, pattern, last) = match arguments {
            [text, pattern] => (text, pattern, None),
            [text, pattern, last] if function.third_argument().is_some() => {
                (text, pattern, Some(last))
            }
            _ => {
                let given = arguments.len();
                let text = format!("Unexpected number of arguments ({given}) for function {name}");
                return Err(error(ast, text));
            }
        };
        let text = self.bind(text)?;
        let mut bound = all_of_type(ast, name, vec![text], &Type::Varchar)?;
        if let (Some(last), Some(wanted)) = (last, function.third_argument()) {
            let last = self.bind(last)?;
            bound.extend(all_of_type(ast, name, vec![last], &wanted)?);
        }
        let data_type = function.result();
        let what = format!("the pattern of {name}");
        let Some(source) = self.constant_text(pattern, &what)? else {
            return Ok(null(data_type));
        };
        let pattern = Pattern::java_with_groups(&source)
            .and_then(|pattern| function.check(pattern))
            .map_err(|message| error(ast, format!("invalid pattern '{source}': {message}")))?;
        if let Some(Expr::Constant(Datum::Int(group))) = bound.get(1) {
            pattern
                .group(*group)
                .map_err(|message| error(ast, message))?;
        }
        let expr = Expr::Regexp {
            function,
            pattern,
            arguments: bound,
        };
        Ok(Typed { expr, data_type })
    }
}
