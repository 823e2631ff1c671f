//! Rewrites a source file so that each of its checks can be switched off at run time, by number.
//!
//! One build then serves every defect. INVARIANT: with no defect in force the rewritten file does what the file did.

mod expression;
mod function;
mod statement;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Block, Expr, parse_quote};

/// What a defect does to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// An arm of a `match` is gone; what follows it takes its values.
    ArmGone,
    /// A call that may refuse, and whose value nobody uses, is not made.
    CallGone,
    /// `if`, `while` or a guard never holds.
    ConditionFalse,
    /// `<` becomes `<=`, `==` becomes `!=`, and so on.
    Comparison,
    /// `&&` becomes `||` and the other way round.
    Connective,
    /// A question such as `contains` or `all` is answered the other way round.
    Negated,
    /// `&` becomes `|`, `+` becomes `-`, and so on.
    Arithmetic,
    /// A function returns at once, with this: `Ok(())`.
    ReturnsOk,
    /// The same, with `None`.
    ReturnsNone,
    /// The same, with `true`.
    ReturnsTrue,
    /// The same, with `false`.
    ReturnsFalse,
}

/// One place and what can go wrong there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutant {
    /// Number, from 1.
    pub id: usize,
    /// File, relative to the root of the workspace.
    pub file: String,
    /// Line, from 1, in the file that is shipped.
    pub line: usize,
    /// Function that it is in.
    pub function: String,
    /// What it does.
    pub operator: Operator,
    /// The source text, on one line, cut after 100 characters.
    pub text: String,
}

/// Rewrites files one after another, numbering the places of all.
pub struct Mutator<'a> {
    /// Places that must stay as they are, as their rewriting does not compile.
    pub skip: &'a BTreeSet<usize>,
    /// Every place so far, skipped ones not among them.
    pub mutants: Vec<Mutant>,
    next: usize,
    file: String,
    lines: Vec<String>,
    function: Vec<String>,
}

/// Where a place is, taken before anything inside it is rewritten.
#[derive(Clone)]
struct Place {
    line: usize,
    text: String,
}

impl<'a> Mutator<'a> {
    /// Nothing rewritten yet.
    pub fn new(skip: &'a BTreeSet<usize>) -> Self {
        let (file, lines, function) = (String::new(), Vec::new(), Vec::new());
        Self { skip, mutants: Vec::new(), next: 1, file, lines, function }
    }

    /// Rewrites a file.
    pub fn rewrite(&mut self, file: &str, source: &str) -> syn::Result<String> {
        let mut parsed = syn::parse_file(source)?;
        file.clone_into(&mut self.file);
        self.lines = source.lines().map(str::to_owned).collect();
        self.function = Vec::new();
        self.visit_file_mut(&mut parsed);
        Ok(prettyplease::unparse(&parsed))
    }

    fn place(&self, what: &impl Spanned) -> Place {
        let span = what.span();
        let (start, end) = (span.start(), span.end());
        let mut text = String::new();
        for number in start.line..=end.line {
            let Some(line) = number.checked_sub(1).and_then(|index| self.lines.get(index)) else { continue };
            let from = if number == start.line { start.column } else { 0 };
            let until = if number == end.line { end.column } else { usize::MAX };
            let part: String =
                line.chars().enumerate().filter(|(i, _)| (from..until).contains(i)).map(|(_, c)| c).collect();
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(part.trim());
        }
        if text.chars().count() > 100 {
            text = text.chars().take(99).chain(['…']).collect();
        }
        Place { line: start.line, text }
    }

    /// Numbers a place. `None` if it must stay as it is.
    fn mutant(&mut self, operator: Operator, place: &Place) -> Option<Expr> {
        let id = self.next;
        self.next += 1;
        if self.skip.contains(&id) {
            return None;
        }
        let Place { line, text } = place.clone();
        let function = self.function.join("::");
        self.mutants.push(Mutant { id, file: self.file.clone(), line, function, operator, text });
        Some(parse_quote!(::vouchsafe_mutants_switch::on(#id)))
    }
}

/// Compiled only into tests.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is = |name: &str| attribute.path().is_ident(name);
        is("test")
            || (is("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test")))
    })
}

impl VisitMut for Mutator<'_> {
    fn visit_item_mut(&mut self, item: &mut syn::Item) {
        match item {
            // Constant expressions cannot ask at run time.
            syn::Item::Const(_) | syn::Item::Static(_) | syn::Item::Enum(_) | syn::Item::Struct(_) => {}
            syn::Item::Mod(module) if is_test(&module.attrs) => {}
            syn::Item::Fn(function) if is_test(&function.attrs) || function.sig.constness.is_some() => {}
            syn::Item::Fn(function) => {
                self.in_function(&function.sig, &mut function.block);
            }
            syn::Item::Impl(block) if is_test(&block.attrs) => {}
            syn::Item::Impl(block) => {
                let name = type_name(&block.self_ty);
                self.function.push(name);
                visit_mut::visit_item_impl_mut(self, block);
                self.function.pop();
            }
            other => visit_mut::visit_item_mut(self, other),
        }
    }

    fn visit_impl_item_mut(&mut self, item: &mut syn::ImplItem) {
        match item {
            syn::ImplItem::Fn(function) if function.sig.constness.is_none() && !is_test(&function.attrs) => {
                self.in_function(&function.sig, &mut function.block);
            }
            _ => {}
        }
    }

    fn visit_trait_item_mut(&mut self, item: &mut syn::TraitItem) {
        if let syn::TraitItem::Fn(function) = item
            && let Some(block) = &mut function.default
        {
            self.in_function(&function.sig, block);
        }
    }

    // Types, patterns and attributes hold no code that runs, or constant expressions.
    fn visit_type_mut(&mut self, _: &mut syn::Type) {}
    fn visit_pat_mut(&mut self, _: &mut syn::Pat) {}
    fn visit_attribute_mut(&mut self, _: &mut Attribute) {}
    fn visit_generic_argument_mut(&mut self, _: &mut syn::GenericArgument) {}
    fn visit_expr_const_mut(&mut self, _: &mut syn::ExprConst) {}

    fn visit_expr_repeat_mut(&mut self, repeat: &mut syn::ExprRepeat) {
        self.visit_expr_mut(&mut repeat.expr);
    }

    fn visit_block_mut(&mut self, block: &mut Block) {
        for stmt in &mut block.stmts {
            self.statement(stmt);
        }
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        self.expression(expr);
    }

    fn visit_arm_mut(&mut self, arm: &mut syn::Arm) {
        if let Some((_, guard)) = &mut arm.guard {
            self.condition(guard);
        }
        self.visit_expr_mut(&mut arm.body);
    }
}

fn type_name(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Path(path) => {
            path.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
