//! What roles refer to by name: releases, TCB floors and lists of chips. Each is dated or listed in a file;
//! none is compiled in.

use std::collections::BTreeMap;

use vouchsafe_protocol::policy::{ChipId, LaunchDigest, Product, Tcb, TcbFloor};
use vouchsafe_protocol::policy_check::check_pcr_index;

use super::error::{CompileError, Reason};
use super::reader::{Entry, Item, Table};

/// Everything that can be referred to, of all files.
#[derive(Default)]
pub(super) struct Definitions<'a> {
    releases: BTreeMap<&'a str, Release>,
    floors: BTreeMap<&'a str, Vec<TcbFloor>>,
    chips: BTreeMap<&'a str, Vec<ChipId>>,
}

/// A dated set of reference values.
struct Release {
    snp: Vec<LaunchDigest>,
    pcrs: BTreeMap<u8, Vec<[u8; 32]>>,
}

impl<'a> Definitions<'a> {
    /// Reads the definitions of one file.
    pub(super) fn read(&mut self, file: &mut Table<'a>) -> Result<(), CompileError> {
        read_named(file, "release", &mut self.releases, release)?;
        read_named(file, "tcb_floor", &mut self.floors, floors)?;
        read_named(file, "chips", &mut self.chips, chips)
    }

    /// Launch digests of the release that `name` names.
    pub(super) fn measurements(&self, name: Item<'_>) -> Result<Vec<LaunchDigest>, CompileError> {
        let release = self.release(name)?;
        if release.snp.is_empty() {
            return Err(name.fail(Reason::NoMeasurement { name: name.text()?.to_owned() }));
        }
        Ok(release.snp.clone())
    }

    /// Values of a PCR in the release that `name` names.
    pub(super) fn pcr(&self, name: Item<'_>, index: u8) -> Result<Vec<[u8; 32]>, CompileError> {
        let missing = || Reason::NoPcr { name: name.text().unwrap_or_default().to_owned(), index };
        self.release(name)?.pcrs.get(&index).cloned().ok_or_else(|| name.fail(missing()))
    }

    /// One floor per product, of those that `name` names.
    pub(super) fn floors(&self, name: Item<'_>, products: &[Product]) -> Result<Vec<TcbFloor>, CompileError> {
        let text = name.text()?.to_owned();
        let Some(floors) = self.floors.get(text.as_str()) else {
            return Err(name.fail(Reason::UnknownFloor { name: text }));
        };
        let floor = |product: &Product| {
            let found = floors.iter().find(|floor| floor.product == *product).copied();
            found.ok_or_else(|| name.fail(Reason::NoFloor { name: text.clone(), product: *product }))
        };
        products.iter().map(floor).collect()
    }

    /// The chips that `name` names.
    pub(super) fn chips(&self, name: Item<'_>) -> Result<Vec<ChipId>, CompileError> {
        let text = name.text()?;
        let unknown = || name.fail(Reason::UnknownChips { name: text.to_owned() });
        self.chips.get(text).cloned().ok_or_else(unknown)
    }

    fn release(&self, name: Item<'_>) -> Result<&Release, CompileError> {
        let text = name.text()?;
        self.releases.get(text).ok_or_else(|| name.fail(Reason::UnknownRelease { name: text.to_owned() }))
    }
}

/// Reads the tables `[section.NAME]`, each name once in all files.
fn read_named<'a, T>(
    file: &mut Table<'a>,
    section: &'static str,
    into: &mut BTreeMap<&'a str, T>,
    read: impl Fn(&mut Table<'a>) -> Result<T, CompileError>,
) -> Result<(), CompileError> {
    let Some(section) = file.optional(section) else {
        return Ok(());
    };
    for entry in section.table()?.entries() {
        let mut table = entry.item.table()?;
        let value = read(&mut table)?;
        table.finish()?;
        if into.insert(entry.key, value).is_some() {
            return Err(entry.fail(Reason::Repeated { name: entry.key.to_owned() }));
        }
    }
    Ok(())
}

fn release(table: &mut Table<'_>) -> Result<Release, CompileError> {
    dated(table)?;
    let snp = match table.optional("snp") {
        Some(list) => list.parse_list()?,
        None => Vec::new(),
    };
    let mut pcrs = BTreeMap::new();
    if let Some(section) = table.optional("pcr") {
        for entry in section.table()?.entries() {
            pcrs.insert(pcr_index(&entry)?, entry.item.parse_list()?);
        }
    }
    Ok(Release { snp, pcrs })
}

fn floors(table: &mut Table<'_>) -> Result<Vec<TcbFloor>, CompileError> {
    dated(table)?;
    let mut floors = Vec::new();
    for (key, product) in [("milan", Product::Milan), ("genoa", Product::Genoa), ("turin", Product::Turin)] {
        if let Some(item) = table.optional(key) {
            let mut parts = item.table()?;
            let tcb = tcb(&mut parts, product)?;
            parts.finish()?;
            floors.push(TcbFloor { product, tcb });
        }
    }
    Ok(floors)
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

fn chips(table: &mut Table<'_>) -> Result<Vec<ChipId>, CompileError> {
    if let Some(date) = table.optional("date") {
        date.date()?;
    }
    table.required("ids", "a list of chip ids")?.parse_list()
}

/// Reference values have a date, so that an old one shows; where they come from may be said too.
fn dated(table: &mut Table<'_>) -> Result<(), CompileError> {
    table.required("date", "when these values were published, YYYY-MM-DD")?.date()?;
    if let Some(source) = table.optional("source") {
        source.text()?;
    }
    Ok(())
}

/// A PCR index as a key, in its one form, and one that may be trusted (T3).
pub(super) fn pcr_index(entry: &Entry<'_>) -> Result<u8, CompileError> {
    let index = entry.key.parse().ok().filter(|index: &u8| index.to_string() == entry.key);
    let index =
        index.ok_or_else(|| entry.fail(Reason::Value { expected: "a PCR index, 0 to 15, as key" }))?;
    check_pcr_index(index).map_err(|error| entry.fail(Reason::Accept(error)))?;
    Ok(index)
}
