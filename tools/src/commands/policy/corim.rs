//! `vouchsafe policy import-corim`.

use anyhow::{Context as _, Result};
use serde_json::json;
use vouchsafe_client::policy::corim::{CorimError, Imported, Publisher, import};
use vouchsafe_evidence::suite;

use super::CorimArgs;
use crate::context::now_secs;
use crate::failure::Problem;
use crate::input;
use crate::output::Output;

/// Runs it.
pub(super) fn run(args: &CorimArgs) -> Result<Output> {
    let CorimArgs { file, name, key, unsigned: _, at } = args;
    let bytes = suite::read_file(file)?;
    let key = key.as_ref().map(|path| {
        let keys = input::ders(path, "PUBLIC KEY")?;
        let [key] = keys.as_slice() else {
            let message = format!("{} holds {} public keys instead of one", path.display(), keys.len());
            return Err(Problem::new("malformed-file", message).into());
        };
        Ok::<_, anyhow::Error>(key.clone())
    });
    let key = key.transpose()?;
    let publisher = key.as_deref().map_or(Publisher::DangerousUnsigned, Publisher::SignedBy);
    let imported = import(&bytes, name, publisher, at.unwrap_or_else(now_secs));
    let imported =
        imported.map_err(explained).with_context(|| format!("{} is not imported", file.display()))?;
    Ok(shown(&imported, key.is_some()))
}

/// With a stable code and what to do.
fn explained(error: CorimError) -> anyhow::Error {
    let (code, hint) = match &error {
        CorimError::Signed => ("corim.signed", Some("give the publisher's public key with --key KEY.pem")),
        CorimError::Unsigned => (
            "corim.unsigned",
            Some("ask its publisher for the signed form, or take it as it is with --unsigned"),
        ),
        CorimError::Signature => {
            ("corim.signature", Some("it was changed, or another key signed it: ask its publisher"))
        }
        CorimError::Key | CorimError::Algorithm { .. } => ("corim.key", None),
        CorimError::EndsToday => ("corim.expired", Some("ask its publisher for a newer one")),
        CorimError::Name { .. } => {
            ("usage", Some("a name is of a-z, 0-9, '-', '_' and '.', as in --name agent-7"))
        }
        CorimError::NoValue => ("corim.no-value", None),
        CorimError::DigestLength
        | CorimError::Malformed(_)
        | CorimError::TooLong { .. }
        | CorimError::TooManyValues
        | CorimError::Unwritable(_) => ("corim.malformed", None),
    };
    let problem = Problem::new(code, "reference values were refused");
    let problem = match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    };
    anyhow::Error::new(error).context(problem)
}

fn shown(imported: &Imported, signed: bool) -> Output {
    let Imported { id, snp, pcrs, expires, left_out, toml } = imported;
    // Comments are of our own words alone: nothing of the CoRIM can end one.
    let mut text = String::new();
    if !signed {
        text.push_str("# UNSIGNED: nobody vouches for these values but the way they came here.\n");
    }
    for what in left_out {
        text.push_str("# Not imported: ");
        text.push_str(what);
        text.push_str(". A rule without it accepts more than the publisher meant.\n");
    }
    text.push_str(toml);
    let json = json!({
        "id": id,
        "signed": signed,
        "expires": expires.map(|day| day.to_string()),
        "snp": snp.iter().map(|digest| hex::encode(digest.0)).collect::<Vec<_>>(),
        "pcr": pcrs
            .iter()
            .map(|(index, values)| (index.to_string(), values.iter().map(hex::encode).collect::<Vec<_>>()))
            .collect::<std::collections::BTreeMap<_, _>>(),
        "not_imported": left_out,
        "toml": text,
    });
    Output::new(text, json)
}
