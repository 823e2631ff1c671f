//! `evidence check`, for people.

use std::io::{Result, Write};

use vouchsafe_evidence::{Agreement, Expect, Line, Outcome, Summary, Verdict};

/// One line per case, then the counts.
pub(super) fn write(outcome: &Outcome, out: &mut dyn Write) -> Result<()> {
    let Outcome { results, summary, simulated: _ } = outcome;
    for Line { name, kind, expect, expect_code, result, verdict } in results {
        let mark = match result {
            Agreement::Agrees => "ok      ",
            Agreement::Differs => "DIFFERS ",
            Agreement::NotSupported => "skipped ",
        };
        let said = match verdict {
            Verdict::Valid { .. } => "valid".to_owned(),
            Verdict::Invalid(refusal) => format!("invalid: {} ({})", refusal.code, refusal.reason),
            Verdict::NotSupported { reason } => format!("not supported: {reason}"),
        };
        write!(out, "{mark} {kind:<13} {name:<42} {said}")?;
        if *result == Agreement::Differs {
            let expect = match expect {
                Expect::Valid => "valid",
                Expect::Invalid => "invalid",
            };
            let code = expect_code.as_deref().map(|code| format!(": {code}")).unwrap_or_default();
            write!(out, " (expected {expect}{code})")?;
        }
        writeln!(out)?;
    }
    let Summary { agreed, different, not_supported } = summary;
    if *agreed + *different == 0 {
        writeln!(out, "\nnothing was verified: there is no case that this version supports")?;
    }
    if outcome.simulated {
        writeln!(out, "\nSIMULATED: roots of simulated hardware, which the cases name")?;
    }
    writeln!(out, "\n{agreed} agree, {different} differ, {not_supported} not supported")
}
