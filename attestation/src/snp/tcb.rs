//! Security versions (TCB_VERSION): eight bytes whose meaning depends on the product.

use vouchsafe_protocol::policy::{Product, Tcb};

/// TCB_VERSION as it stands in a report, byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawTcb(pub [u8; 8]);

impl RawTcb {
    /// Splits into components. Milan and Genoa: boot loader 0, TEE 1, SNP 6, microcode 7. Turin puts FMC first:
    /// FMC 0, boot loader 1, TEE 2, SNP 3, microcode 7 (AMD 56860, section 2.2, table 3 and 4).
    #[must_use]
    pub fn components(self, product: Product) -> Tcb {
        match product {
            Product::Milan | Product::Genoa => {
                let [boot_loader, tee, _, _, _, _, snp, microcode] = self.0;
                Tcb { fmc: 0, boot_loader, tee, snp, microcode }
            }
            Product::Turin => {
                let [fmc, boot_loader, tee, snp, _, _, _, microcode] = self.0;
                Tcb { fmc, boot_loader, tee, snp, microcode }
            }
        }
    }

    /// The bytes of a product's TCB, reserved bytes zero.
    #[must_use]
    pub fn from_components(product: Product, tcb: Tcb) -> Self {
        let Tcb { fmc, boot_loader, tee, snp, microcode } = tcb;
        Self(match product {
            Product::Milan | Product::Genoa => [boot_loader, tee, 0, 0, 0, 0, snp, microcode],
            Product::Turin => [fmc, boot_loader, tee, snp, 0, 0, 0, microcode],
        })
    }

    /// Whether the bytes that the product reserves are zero.
    #[must_use]
    pub fn reserved_is_zero(self, product: Product) -> bool {
        Self::from_components(product, self.components(product)) == self
    }
}

/// A component of a TCB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// Boot loader.
    BootLoader,
    /// FMC.
    Fmc,
    /// Microcode.
    Microcode,
    /// SNP firmware.
    Snp,
    /// PSP operating system.
    Tee,
}

/// The first component of `tcb` that is below `floor`; `None` if none is. Never compared as one integer.
#[must_use]
pub fn first_below(tcb: Tcb, floor: Tcb) -> Option<Component> {
    let Tcb { fmc, boot_loader, tee, snp, microcode } = floor;
    [
        (Component::Fmc, tcb.fmc, fmc),
        (Component::BootLoader, tcb.boot_loader, boot_loader),
        (Component::Tee, tcb.tee, tee),
        (Component::Snp, tcb.snp, snp),
        (Component::Microcode, tcb.microcode, microcode),
    ]
    .into_iter()
    .find_map(|(component, has, least)| (has < least).then_some(component))
}
