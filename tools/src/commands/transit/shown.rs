//! What came of the items of a batch, as text and as JSON.

use serde_json::{Value, json};
use vouchsafe_protocol::kv::SecretValue;
use vouchsafe_protocol::path::Path;
use vouchsafe_protocol::transit::{Item, ItemRefusal};

use crate::failure::kebab;
use crate::output::Output;

/// One result: a line, and the same for programs.
pub(super) struct Line {
    pub text: String,
    pub json: Value,
}

/// The lines of a batch; exit code 1 if one was refused. The only item of a batch that was refused is an error.
pub(super) fn lines<T>(
    key: &Path,
    items: Vec<Item<T>>,
    line: impl Fn(T) -> Line,
) -> Result<Output, vouchsafe_client::RequestError> {
    let only = items.len() == 1;
    let (mut text, mut json, mut failed) = (Vec::new(), Vec::new(), false);
    for item in items {
        match item {
            Item::Done(done) => {
                let line = line(done);
                text.push(line.text);
                json.push(line.json);
            }
            Item::Refused(refusal) if only => return Err(vouchsafe_client::RequestError::Item(refusal)),
            Item::Refused(refusal) => {
                failed = true;
                text.push(format!("refused: {refusal}"));
                json.push(json!({ "refused": code(refusal) }));
            }
        }
    }
    let json = json!({ "key": key.as_str(), "items": json });
    // What is shown may be secret: wiped once it is printed.
    let text = SecretValue::new((text.join("\n") + "\n").into_bytes());
    Ok(Output::shown(text, json).failed_if(failed))
}

/// Stable text of a refusal.
pub(crate) fn code(refusal: ItemRefusal) -> String {
    kebab(&format!("{refusal:?}"))
}
