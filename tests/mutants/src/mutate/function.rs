//! Whole functions that return at once, and the check that a function ends with.

use syn::visit_mut::VisitMut;
use syn::{Block, Expr, GenericArgument, PathArguments, ReturnType, Signature, Stmt, Type, parse_quote};

use super::{Mutator, Operator};

impl Mutator<'_> {
    pub(super) fn in_function(&mut self, signature: &Signature, block: &mut Block) {
        self.function.push(signature.ident.to_string());
        let place = self.place(signature);
        let tail = block.stmts.last().map(|stmt| self.place(stmt));
        self.visit_block_mut(block);

        let returned = Returned::of(&signature.output);
        if let (Returned::ResultOfNothing, Some(Stmt::Expr(last, None)), Some(place)) =
            (&returned, block.stmts.last_mut(), &tail)
            && matches!(last, Expr::Call(_) | Expr::MethodCall(_))
            && !is_ok(last)
            && let Some(on) = self.mutant(Operator::CallGone, place)
        {
            *last = parse_quote!((if #on { Ok(()) } else { #last }));
        }
        let values: &[(Operator, Expr)] = &match returned {
            Returned::Bool => {
                vec![
                    (Operator::ReturnsTrue, parse_quote!(true)),
                    (Operator::ReturnsFalse, parse_quote!(false)),
                ]
            }
            Returned::Option => vec![(Operator::ReturnsNone, parse_quote!(None))],
            Returned::Other => Vec::new(),
            Returned::ResultOfNothing => vec![(Operator::ReturnsOk, parse_quote!(Ok(())))],
        };
        let mut early: Vec<Stmt> = Vec::new();
        for (operator, value) in values {
            if let Some(on) = self.mutant(*operator, &place) {
                early.push(parse_quote!(if #on { return #value; }));
            }
        }
        block.stmts.splice(0..0, early);
        self.function.pop();
    }
}

/// What a function returns, as far as it matters here.
enum Returned {
    Bool,
    Option,
    Other,
    ResultOfNothing,
}

impl Returned {
    fn of(output: &ReturnType) -> Self {
        let ReturnType::Type(_, ty) = output else { return Self::Other };
        let Type::Path(path) = &**ty else { return Self::Other };
        let Some(last) = path.path.segments.last() else { return Self::Other };
        let first = match &last.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.first(),
            _ => None,
        };
        match (last.ident.to_string().as_str(), first) {
            ("bool", None) => Self::Bool,
            ("Option", Some(_)) => Self::Option,
            ("Result", Some(GenericArgument::Type(Type::Tuple(tuple)))) if tuple.elems.is_empty() => {
                Self::ResultOfNothing
            }
            _ => Self::Other,
        }
    }
}

/// `Ok(...)`: nothing is checked there.
fn is_ok(expr: &Expr) -> bool {
    match expr {
        Expr::Call(call) => matches!(&*call.func, Expr::Path(path) if path.path.is_ident("Ok")),
        _ => false,
    }
}
