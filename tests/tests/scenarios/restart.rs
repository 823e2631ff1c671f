//! A vault on a TPM comes back by itself, on the same machine that booted the same, and nowhere else.

use anyhow::ensure;
use vouchsafe_client::{InitParts, VaultPlatform, init};
use vouchsafe_crypto::signature::P256Key;
use vouchsafe_protocol::introduction::OperatorKey;
use vouchsafe_swtpm::Swtpm;
use vouchsafe_tests::stack::{Below, Operator, Stack};

use crate::rig::{PATH, VALUE, tpm_anchors, write};

/// A vault on a TPM with a secret, its enclave killed.
struct Down {
    stack: Stack,
    operator: Operator,
    tpm: Swtpm,
    _dir: tempfile::TempDir,
}

impl Down {
    async fn new() -> anyhow::Result<Self> {
        let tpm = Swtpm::create()?;
        let dir = tempfile::tempdir()?;
        let stack = Stack::start(dir.path(), Below::Tpm(tpm.tcti())).await?;
        let mut operator = Operator::init_with(&stack, tpm_anchors(&[("vault", &tpm)])?).await?;
        let session = operator.connect(&stack).await?;
        write(&session, PATH, VALUE).await?;
        let mut down = Self { stack, operator, tpm, _dir: dir };
        down.kill().await?;
        Ok(down)
    }

    /// Kills the enclave, and waits until the host has noticed.
    async fn kill(&mut self) -> anyhow::Result<()> {
        self.stack.kill_enclave().await?;
        self.stack.await_page(|_, body| body.contains("\"unreachable\"")).await.map(drop)
    }

    /// It comes back without anybody's help, with what it had.
    async fn serves(&mut self) -> anyhow::Result<()> {
        self.stack.start_enclave().await?;
        self.stack.ready().await?;
        let session = self.operator.connect(&self.stack).await?;
        ensure!(session.kv().metadata(PATH).await?.versions.len() == 1, "the secret is gone");
        self.kill().await
    }

    /// It does not come back, for this reason; and nobody can put a new vault in its place.
    async fn fails(&mut self, reason: &str) -> anyhow::Result<()> {
        let before = self.stack.log("enclave")?.len();
        self.stack.start_enclave().await?;
        let page = self.stack.await_page(|_, body| body.contains("\"failed\"")).await?;
        ensure!(page.contains("\"reason\":\"platform.unseal\""), "/readyz says {page}");
        let log = self.stack.log("enclave")?;
        let log = log.get(before..).unwrap_or_default();
        ensure!(log.contains(reason), "the log does not say '{reason}': {log}");
        let operators = vec![OperatorKey { name: "op".parse()?, key: P256Key::generate()?.spki() }];
        let parts = InitParts { operators, anchors: tpm_anchors(&[("vault", &self.tpm)])? };
        let made = init(&self.stack.endpoint(), &parts, &VaultPlatform::DangerousTrustWhatItShows).await;
        ensure!(made.is_err(), "a new vault took the place of the old one");
        self.kill().await
    }
}

#[tokio::test]
async fn a_vault_comes_back_alone_on_its_own_tpm_only() -> anyhow::Result<()> {
    let mut down = Down::new().await?;
    down.serves().await?;

    down.tpm.extend(4, [0x66; 32])?;
    down.fails("PCR 4 changed").await?;
    down.tpm.power_cycle()?;
    down.tpm.boot()?;
    down.serves().await?;

    let other = Swtpm::create()?;
    down.stack.set_below(Below::Tpm(other.tcti()));
    down.fails("sealed by another TPM").await?;
    down.stack.set_below(Below::Tpm(down.tpm.tcti()));
    down.serves().await
}

#[tokio::test]
async fn t16_a_cleared_tpm_is_named_and_never_a_new_vault() -> anyhow::Result<()> {
    let mut down = Down::new().await?;
    down.serves().await?;
    down.tpm.clear()?;
    down.fails("the TPM was cleared after the vault was sealed").await
}
