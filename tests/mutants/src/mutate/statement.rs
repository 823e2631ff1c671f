//! Places that are statements: a call that may refuse and whose value nobody uses is a check.

use syn::visit_mut;
use syn::{BinOp, Expr, Stmt, parse_quote};

use super::{Mutator, Operator};

impl Mutator<'_> {
    pub(super) fn statement(&mut self, stmt: &mut Stmt) {
        let removable = match stmt {
            Stmt::Expr(expr, Some(_)) => match expr {
                Expr::Try(_) | Expr::Call(_) | Expr::MethodCall(_) => true,
                Expr::Binary(binary) => is_assignment(&binary.op),
                Expr::Assign(assign) => matches!(*assign.left, Expr::Field(_) | Expr::Index(_)),
                _ => false,
            },
            _ => false,
        };
        let place = self.place(stmt);
        visit_mut::visit_stmt_mut(self, stmt);
        if removable && let Some(on) = self.mutant(Operator::CallGone, &place) {
            *stmt = parse_quote!(if !#on { #stmt });
        }
    }
}

fn is_assignment(op: &BinOp) -> bool {
    matches!(
        op,
        BinOp::AddAssign(_)
            | BinOp::SubAssign(_)
            | BinOp::BitAndAssign(_)
            | BinOp::BitOrAssign(_)
            | BinOp::BitXorAssign(_)
    )
}
