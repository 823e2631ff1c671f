//! `[tcb_floor.NAME]`: lowest security versions, with the bulletins that ask for them.

use vouchsafe_protocol::policy::{Product, Tcb};

use crate::policy::day::Day;
use crate::policy::error::{CompileError, Reason};
use crate::policy::reader::Table;

/// A floor as its file has it.
pub(in crate::policy) struct Floor {
    pub(in crate::policy) date: Day,
    pub(in crate::policy) bulletins: Vec<String>,
    pub(in crate::policy) source: Option<String>,
    pub(in crate::policy) confidence: Option<String>,
    pub(in crate::policy) tcbs: Vec<(Product, Tcb)>,
}

/// Reads one. It is for the products that it names, and for no other.
pub(super) fn read(table: &mut Table<'_>) -> Result<Floor, CompileError> {
    let date = table.required("date", "when these values were published, YYYY-MM-DD")?.date()?;
    let mut text = |key| table.optional(key).map(|item| item.text().map(str::to_owned)).transpose();
    let source = text("source")?;
    let confidence = text("confidence")?;
    let bulletins = match table.optional("bulletin") {
        None => Vec::new(),
        Some(item) if item.is_text() => vec![item.text()?.to_owned()],
        Some(item) => {
            item.list()?.iter().map(|item| item.text().map(str::to_owned)).collect::<Result<_, _>>()?
        }
    };
    let mut tcbs = Vec::new();
    for (key, product) in [("milan", Product::Milan), ("genoa", Product::Genoa), ("turin", Product::Turin)] {
        if let Some(item) = table.optional(key) {
            let mut parts = item.table()?;
            tcbs.push((product, tcb(&mut parts, product)?));
            parts.finish()?;
        }
    }
    Ok(Floor { date, bulletins, source, confidence, tcbs })
}

/// Every component is named: one that is forgotten would be a floor of zero.
fn tcb(parts: &mut Table<'_>, product: Product) -> Result<Tcb, CompileError> {
    let mut part = |key: &'static str| -> Result<u8, CompileError> {
        let item = parts.required(key, "a floor names every component of its product")?;
        let number = item.number(0, u32::from(u8::MAX))?;
        u8::try_from(number).map_err(|_| item.fail(Reason::Number { least: 0, most: u32::from(u8::MAX) }))
    };
    Ok(Tcb {
        fmc: if product == Product::Turin { part("fmc")? } else { 0 },
        boot_loader: part("boot_loader")?,
        tee: part("tee")?,
        snp: part("snp")?,
        microcode: part("microcode")?,
    })
}
