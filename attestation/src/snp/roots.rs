//! AMD's roots, one per product: compiled in, or those of a simulated PKI that a vault was initialised with.
//! Evidence never supplies one.

use vouchsafe_crypto::digest;
use vouchsafe_protocol::anchors::AmdAnchors;
use vouchsafe_protocol::id::AnchorClass;
use vouchsafe_protocol::policy::Product;

use super::report::SigningKey;
use crate::x509::{Certificate, CertificateError};

/// ARK and ASK as AMD publishes them; see `roots/README.md` for where they are from.
const BUILT_IN: [(Product, &[u8], &[u8]); 3] = [
    (
        Product::Milan,
        include_bytes!("../../roots/milan-ark.der"),
        include_bytes!("../../roots/milan-ask.der"),
    ),
    (
        Product::Genoa,
        include_bytes!("../../roots/genoa-ark.der"),
        include_bytes!("../../roots/genoa-ask.der"),
    ),
    (
        Product::Turin,
        include_bytes!("../../roots/turin-ark.der"),
        include_bytes!("../../roots/turin-ask.der"),
    ),
];

/// Why a set of AMD roots cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// A certificate cannot be read.
    #[error("root certificate cannot be read")]
    Certificate(#[source] CertificateError),
    /// Two roots for one product.
    #[error("{product:?} has two roots")]
    Duplicate {
        /// Product.
        product: Product,
    },
    /// No root at all.
    #[error("there is no root")]
    Empty,
    /// A certificate's name is not the one of its product.
    #[error("root certificate is not named for {product:?}")]
    Name {
        /// Product.
        product: Product,
    },
}

/// Roots by product. Never empty.
#[derive(Clone, Debug)]
pub struct AmdRoots {
    class: AnchorClass,
    roots: Vec<Root>,
    /// Identifies this set in keys of the chain cache.
    digest: [u8; 32],
}

/// Root and VCEK issuer of one product.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) product: Product,
    pub(crate) ark: Certificate,
    pub(crate) ask: Certificate,
}

impl AmdRoots {
    /// Parses the roots that anchors name.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn new(anchors: &AmdAnchors) -> Result<Self, RootsError> {
        let (class, offered): (_, Vec<_>) = match anchors {
            AmdAnchors::BuiltIn => (AnchorClass::Hardware, BUILT_IN.to_vec()),
            AmdAnchors::Simulated(roots) => (
                AnchorClass::Simulated,
                roots.iter().map(|root| (root.product, root.ark.as_slice(), root.ask.as_slice())).collect(),
            ),
        };
        if offered.is_empty() {
            return Err(RootsError::Empty);
        }
        let mut roots: Vec<Root> = Vec::with_capacity(offered.len());
        let mut parts = Vec::with_capacity(2 * offered.len());
        for (product, ark, ask) in offered {
            if roots.iter().any(|root| root.product == product) {
                return Err(RootsError::Duplicate { product });
            }
            parts.extend([ark, ask]);
            let ark = Certificate::parse(ark).map_err(RootsError::Certificate)?;
            let ask = Certificate::parse(ask).map_err(RootsError::Certificate)?;
            let named = ark.common_name() == Some(root_name(product))
                && ask.common_name() == Some(issuer_name(product, SigningKey::Vcek));
            if !named {
                return Err(RootsError::Name { product });
            }
            roots.push(Root { product, ark, ask });
        }
        let digest = digest::sha256(&[&digest::preimage("vouchsafe/1/amd-roots", &parts)]);
        Ok(Self { class, roots, digest })
    }

    /// Real or simulated.
    #[must_use]
    pub fn class(&self) -> AnchorClass {
        self.class
    }

    /// DER of the root of a product.
    #[must_use]
    pub fn ark(&self, product: Product) -> Option<&[u8]> {
        self.of(product).map(|root| root.ark.der())
    }

    pub(crate) fn of(&self, product: Product) -> Option<&Root> {
        self.roots.iter().find(|root| root.product == product)
    }

    pub(crate) fn all(&self) -> &[Root] {
        &self.roots
    }

    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

fn root_name(product: Product) -> &'static str {
    match product {
        Product::Milan => "ARK-Milan",
        Product::Genoa => "ARK-Genoa",
        Product::Turin => "ARK-Turin",
    }
}

/// Common name of the certificate that issues VEKs of a kind.
pub(crate) fn issuer_name(product: Product, kind: SigningKey) -> &'static str {
    match (product, kind) {
        (Product::Milan, SigningKey::Vcek) => "SEV-Milan",
        (Product::Genoa, SigningKey::Vcek) => "SEV-Genoa",
        (Product::Turin, SigningKey::Vcek) => "SEV-Turin",
        (Product::Milan, SigningKey::Vlek) => "SEV-VLEK-Milan",
        (Product::Genoa, SigningKey::Vlek) => "SEV-VLEK-Genoa",
        (Product::Turin, SigningKey::Vlek) => "SEV-VLEK-Turin",
    }
}
