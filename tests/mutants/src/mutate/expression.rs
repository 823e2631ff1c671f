//! Places inside expressions.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{ParseStream, Parser};
use syn::visit_mut::{self, VisitMut};
use syn::{BinOp, Expr, ExprBinary, ExprMatch, Pat, Token, parse_quote};

use super::{Mutator, Operator};

/// Methods that answer a question.
const QUESTIONS: [&str; 16] = [
    "all",
    "any",
    "contains",
    "contains_key",
    "ends_with",
    "eq",
    "eq_ignore_ascii_case",
    "is_empty",
    "is_err",
    "is_none",
    "is_none_or",
    "is_ok",
    "is_some",
    "is_some_and",
    "is_subset",
    "starts_with",
];

/// The other operator of a pair, and what that defect is called.
fn other(op: &BinOp) -> Option<(BinOp, Operator)> {
    use Operator::{Arithmetic, Comparison};
    Some(match op {
        BinOp::Lt(_) => (parse_quote!(<=), Comparison),
        BinOp::Le(_) => (parse_quote!(<), Comparison),
        BinOp::Gt(_) => (parse_quote!(>=), Comparison),
        BinOp::Ge(_) => (parse_quote!(>), Comparison),
        BinOp::Eq(_) => (parse_quote!(!=), Comparison),
        BinOp::Ne(_) => (parse_quote!(==), Comparison),
        BinOp::BitAnd(_) => (parse_quote!(|), Arithmetic),
        BinOp::BitOr(_) | BinOp::BitXor(_) => (parse_quote!(&), Arithmetic),
        BinOp::Shl(_) => (parse_quote!(>>), Arithmetic),
        BinOp::Shr(_) => (parse_quote!(<<), Arithmetic),
        BinOp::Add(_) => (parse_quote!(-), Arithmetic),
        BinOp::Sub(_) => (parse_quote!(+), Arithmetic),
        BinOp::Mul(_) => (parse_quote!(+), Arithmetic),
        BinOp::Div(_) | BinOp::Rem(_) => (parse_quote!(*), Arithmetic),
        _ => return None,
    })
}

impl Mutator<'_> {
    pub(super) fn expression(&mut self, expr: &mut Expr) {
        // `matches!` is a `match` in disguise, with a guard that may be the check.
        let disguised = match &*expr {
            Expr::Macro(invocation) if invocation.mac.path.is_ident("matches") => {
                Some((self.place(expr), invocation.mac.tokens.clone()))
            }
            _ => None,
        };
        if let Some((place, tokens)) = disguised {
            let Ok(Expr::Match(mut opened)) = matches_as_match.parse2(tokens) else { return };
            visit_mut::visit_expr_match_mut(self, &mut opened);
            let opened: Expr = parse_quote!((#opened));
            *expr = self.negatable(opened, &place);
            return;
        }
        let place = self.place(&*expr);
        match expr {
            Expr::If(branch) => {
                self.condition(&mut branch.cond);
                self.visit_block_mut(&mut branch.then_branch);
                if let Some((_, otherwise)) = &mut branch.else_branch {
                    self.visit_expr_mut(otherwise);
                }
            }
            Expr::While(repeat) => {
                self.condition(&mut repeat.cond);
                self.visit_block_mut(&mut repeat.body);
            }
            Expr::Match(choice) => self.choice(choice),
            Expr::Binary(binary) => {
                visit_mut::visit_expr_binary_mut(self, binary);
                if let Some(changed) = self.binary(binary, &place) {
                    *expr = changed;
                }
            }
            Expr::MethodCall(call) => {
                visit_mut::visit_expr_method_call_mut(self, call);
                if QUESTIONS.iter().any(|question| call.method == question) {
                    let call = expr.clone();
                    *expr = self.negatable(call, &place);
                }
            }
            // The pattern's scrutinee; the condition around it is rewritten where it stands.
            Expr::Let(binding) => self.visit_expr_mut(&mut binding.expr),
            other => visit_mut::visit_expr_mut(self, other),
        }
    }

    fn negatable(&mut self, question: Expr, place: &super::Place) -> Expr {
        match self.mutant(Operator::Negated, place) {
            Some(on) => parse_quote!((#question != #on)),
            None => question,
        }
    }

    fn binary(&mut self, binary: &ExprBinary, place: &super::Place) -> Option<Expr> {
        let ExprBinary { left, op, right, .. } = binary;
        match op {
            // Each side once, and the right side only where it would be looked at.
            BinOp::And(_) => {
                let on = self.mutant(Operator::Connective, place)?;
                Some(parse_quote!((match #left { left => if left != #on { #right } else { left } })))
            }
            BinOp::Or(_) => {
                let on = self.mutant(Operator::Connective, place)?;
                Some(parse_quote!((match #left { left => if left != #on { left } else { #right } })))
            }
            op => {
                let (changed, operator) = other(op)?;
                let on = self.mutant(operator, place)?;
                Some(parse_quote!((if #on { (#left) #changed (#right) } else { (#left) #op (#right) })))
            }
        }
    }

    /// The condition of `if` and `while`, and guards: what is inside, and then the whole.
    pub(super) fn condition(&mut self, condition: &mut Expr) {
        let place = self.place(condition);
        let chained = has_let(condition);
        self.conjunct(condition);
        if let Some(on) = self.mutant(Operator::ConditionFalse, &place) {
            let whole = &*condition;
            *condition = if chained { parse_quote!(#whole && !#on) } else { parse_quote!((#whole) && !#on) };
        }
    }

    /// A part of a chain of `let`s stays where it stands: its bindings are used further on.
    fn conjunct(&mut self, condition: &mut Expr) {
        match condition {
            Expr::Binary(binary) if has_let_chain(binary) => {
                self.conjunct(&mut binary.left);
                self.conjunct(&mut binary.right);
            }
            other => self.visit_expr_mut(other),
        }
    }

    /// Where the last arm takes everything, each arm before it can be missing.
    fn choice(&mut self, choice: &mut ExprMatch) {
        let removable = choice.arms.last().is_some_and(|last| {
            last.guard.is_none()
                && match &last.pat {
                    Pat::Wild(_) => true,
                    Pat::Ident(name) => {
                        name.subpat.is_none() && name.ident.to_string().starts_with(char::is_lowercase)
                    }
                    _ => false,
                }
        });
        let places: Vec<_> = choice.arms.iter().map(|arm| self.place(arm)).collect();
        visit_mut::visit_expr_match_mut(self, choice);
        if !removable {
            return;
        }
        let last = choice.arms.len().saturating_sub(1);
        for (arm, place) in choice.arms.iter_mut().zip(&places).take(last) {
            if arm.guard.is_none()
                && let Some(on) = self.mutant(Operator::ArmGone, place)
            {
                arm.guard = Some((<Token![if]>::default(), parse_quote!(!#on)));
            }
        }
    }
}

fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let_chain(binary),
        _ => false,
    }
}

fn has_let_chain(binary: &ExprBinary) -> bool {
    matches!(binary.op, BinOp::And(_)) && (has_let(&binary.left) || has_let(&binary.right))
}

fn matches_as_match(input: ParseStream<'_>) -> syn::Result<Expr> {
    let scrutinee: Expr = input.parse()?;
    input.parse::<Token![,]>()?;
    let pattern = Pat::parse_multi_with_leading_vert(input)?;
    let guard: TokenStream = if input.peek(Token![if]) {
        input.parse::<Token![if]>()?;
        let guard: Expr = input.parse()?;
        quote!(if #guard)
    } else {
        TokenStream::new()
    };
    input.parse::<Option<Token![,]>>()?;
    Ok(parse_quote!(match #scrutinee { #pattern #guard => true, _ => false }))
}
