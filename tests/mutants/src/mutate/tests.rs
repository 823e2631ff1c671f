use super::*;

fn rewrite(source: &str) -> (String, Vec<Operator>) {
    let skip = BTreeSet::new();
    let mut mutator = Mutator::new(&skip);
    let text = mutator.rewrite("file.rs", source).unwrap();
    (text, mutator.mutants.iter().map(|mutant| mutant.operator).collect())
}

#[test]
fn conditions_comparisons_and_functions_can_go_wrong() {
    let (text, operators) =
        rewrite("fn check(a: u8) -> Result<(), E> { if a < 3 { return Err(E); } Ok(()) }");
    assert_eq!(operators, [Operator::Comparison, Operator::ConditionFalse, Operator::ReturnsOk]);
    assert!(text.contains("(a) <= (3)") && text.contains("(a) < (3)"), "{text}");
    assert!(text.contains("return Ok(())"), "{text}");
}

#[test]
fn a_chain_of_lets_keeps_its_bindings() {
    let (text, operators) = rewrite("fn f(a: Option<u8>) { if let Some(b) = a && b == 3 && g(b) { h(); } }");
    assert_eq!(operators, [Operator::Comparison, Operator::ConditionFalse, Operator::CallGone]);
    assert!(text.contains("if let Some(b) = a"), "{text}");
}

#[test]
fn guards_inside_matches_can_go_wrong() {
    let (_, operators) =
        rewrite("fn f(a: &A) -> u8 { if matches!(a, A::B(x) if x.len() != 3) { 1 } else { 2 } }");
    let expected =
        [Operator::Comparison, Operator::ConditionFalse, Operator::Negated, Operator::ConditionFalse];
    assert_eq!(operators, expected);
}

#[test]
fn arms_before_one_that_takes_all_can_be_missing() {
    let (_, operators) = rewrite("fn f(a: u8) -> u8 { match a { 1 => 2, 3 => 4, _ => 5 } }");
    assert_eq!(operators, [Operator::ArmGone, Operator::ArmGone]);
    let (_, operators) = rewrite("fn f(a: bool) -> u8 { match a { true => 2, false => 4 } }");
    assert_eq!(operators, []);
}

#[test]
fn a_check_whose_value_nobody_uses_can_be_missing() {
    let (text, operators) = rewrite("fn f() -> Result<(), E> { check(1)?; check(2) }");
    assert_eq!(operators, [Operator::CallGone, Operator::CallGone, Operator::ReturnsOk]);
    assert!(text.contains("Ok(())"), "{text}");
}

#[test]
fn constants_and_tests_stay_as_they_are() {
    let source = "const A: bool = 1 < 2; const fn f() -> bool { 1 < 2 } #[cfg(test)] mod t { fn g() -> bool { 1 < 2 } }";
    assert_eq!(rewrite(source).1, []);
}

#[test]
fn what_does_not_compile_keeps_its_number_and_is_left_out() {
    let skip = BTreeSet::from([1]);
    let mut mutator = Mutator::new(&skip);
    mutator.rewrite("file.rs", "fn f(a: u8) -> bool { a < 3 }").unwrap();
    let ids: Vec<usize> = mutator.mutants.iter().map(|mutant| mutant.id).collect();
    assert_eq!(ids, [2, 3]);
    assert_eq!(mutator.mutants[0].function, "f");
    assert_eq!(mutator.mutants[0].line, 1);
}
