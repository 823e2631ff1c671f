//! `vouchsafe transit`: keys that never leave the vault.

use anyhow::Result;
use clap::Subcommand;

use crate::context::Context;
use crate::output::Output;

mod args;
mod keys;
mod shown;
#[cfg(test)]
mod tests;
mod uses;

/// Subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum TransitCommand {
    /// Change settings of a key: which versions it still takes, its schedule, whether it may be deleted
    #[command(
        after_help = "Examples:\n  vouchsafe transit configure transit/billing/card --rotate-every 30d\n  \
        vouchsafe transit configure transit/billing/card --min-decrypt 3\n  \
        vouchsafe transit configure transit/billing/card --deletion allowed"
    )]
    Configure(keys::ConfigureArgs),
    /// Make a key; what is said here is for good
    #[command(
        after_help = "Examples:\n  vouchsafe transit create transit/billing/card --kind aes256-gcm\n  \
        vouchsafe transit create transit/billing/email --kind aes256-gcm --convergent\n  \
        vouchsafe transit create transit/release/sign --kind ed25519\n\n\
        A derived key has another key for each context, such as a tenant; a convergent one also gives the same \
        ciphertext for the same plaintext, so equal plaintexts can be told as equal. Kinds: aes256-gcm, \
        chacha20-poly1305, ed25519, ecdsa-p256, ecdsa-p384, hmac; rsa-pss can be imported only."
    )]
    Create(keys::CreateArgs),
    /// Make a new key for use elsewhere, and the same wrapped under this one
    #[command(after_help = "Examples:\n  vouchsafe transit data-key transit/billing/card\n  \
        vouchsafe transit data-key transit/billing/card --wrapped --length 16")]
    DataKey(uses::DataKeyArgs),
    /// Decrypt, byte for byte, on standard output
    #[command(
        after_help = "Examples:\n  vouchsafe transit decrypt transit/billing/card vouchsafe:v1:AQAAAAE…\n  \
        vouchsafe transit decrypt transit/billing/card @card.sealed --aad invoice-7\n\n\
        Several ciphertexts are decrypted in one request, each printed in base64 on its own line."
    )]
    Decrypt(uses::DecryptArgs),
    /// Wipe a key and all of its versions; what it encrypted is lost with it
    #[command(
        after_help = "Example:\n  vouchsafe transit configure transit/billing/old --deletion allowed\n  \
        vouchsafe transit delete transit/billing/old"
    )]
    Delete(keys::KeyArgs),
    /// Encrypt; prints 'vouchsafe:v<version>:<base64>'
    #[command(after_help = "Examples:\n  vouchsafe transit encrypt transit/billing/card - < card.txt\n  \
        vouchsafe transit encrypt transit/billing/card @card.txt --aad invoice-7\n  \
        vouchsafe transit encrypt transit/tenants/mail @mail --context tenant-42 --binary > mail.sealed\n\n\
        A value on the command line can be seen by other users of the machine; prefer '-' or '@FILE'. Several \
        values are encrypted in one request, each printed on its own line.")]
    Encrypt(uses::EncryptArgs),
    /// Print a key that was made exportable; for agents whose role allows it
    #[command(after_help = "Examples:\n  vouchsafe transit export transit/billing/shared > shared.key\n\n\
        The form is the one that 'vouchsafe transit import' takes.")]
    Export(keys::ExportArgs),
    /// Make the HMAC of a value; prints 'vouchsafe:v<version>:<base64>'; 'verify' checks it
    #[command(after_help = "Example:\n  vouchsafe transit hmac transit/webhooks @body.json")]
    Hmac(uses::SignArgs),
    /// Bring a key from outside, or with no --kind a new version of one that is there
    #[command(
        after_help = "Examples:\n  openssl rand 32 | vouchsafe transit import transit/billing/card - \\\n    \
        --kind aes256-gcm\n  vouchsafe transit import transit/release/rsa @rsa.pem --kind rsa-pss\n  \
        vouchsafe transit import transit/release/rsa @rsa-2027.pem\n\n\
        aes256-gcm and chacha20-poly1305: 32 bytes; hmac: 32 to 64 bytes; ed25519: the seed (32 bytes) or PKCS#8; \
        ecdsa-p256, ecdsa-p384 and rsa-pss (2,048 to 4,096 bits): PKCS#8, with the public key inside. PKCS#8 is \
        unencrypted, DER or PEM."
    )]
    Import(keys::ImportArgs),
    /// List keys directly below a prefix; '/' ends those that have more below
    #[command(after_help = "Examples:\n  vouchsafe transit list\n  vouchsafe transit list transit/billing")]
    List(keys::ListArgs),
    /// Print random bytes of the vault; for any identity
    #[command(
        after_help = "Examples:\n  vouchsafe transit random 32 --hex\n  vouchsafe transit random 64 > seed"
    )]
    Random(uses::RandomArgs),
    /// Encrypt ciphertexts again under the current version, without showing what they hold
    #[command(
        after_help = "Examples:\n  vouchsafe transit rewrap transit/billing/card @card.sealed > card.new\n\n\
        With --output json each item says which version it came from ('from_version') and whether it changed."
    )]
    Rewrap(uses::DecryptArgs),
    /// Make the next version of a key; older ones go on to decrypt and verify
    #[command(after_help = "Example:\n  vouchsafe transit rotate transit/billing/card")]
    Rotate(keys::KeyArgs),
    /// Show what a key is, its versions and public keys
    #[command(after_help = "Examples:\n  vouchsafe transit show transit/release/sign\n  \
        vouchsafe transit show transit/release/sign --public > sign.pem")]
    Show(keys::ShowArgs),
    /// Sign a value; prints 'vouchsafe:v<version>:<base64>'
    #[command(after_help = "Examples:\n  vouchsafe transit sign transit/release/sign @image.tar\n  \
        vouchsafe transit sign transit/release/sign @image.tar --raw > image.sig\n\n\
        The vault hashes the value itself: SHA-256 for ecdsa-p256 and rsa-pss, SHA-384 for ecdsa-p384. ECDSA \
        signatures are ASN.1 DER.")]
    Sign(uses::SignArgs),
    /// Wipe versions that decryption does not accept any more
    #[command(
        after_help = "Example:\n  vouchsafe transit configure transit/billing/card --min-decrypt 3\n  \
        vouchsafe transit trim transit/billing/card --below 3"
    )]
    Trim(keys::TrimArgs),
    /// Verify a signature or an HMAC; exit code 1 if it is not one
    #[command(after_help = "Examples:\n  vouchsafe transit verify transit/release/sign @image.tar \\\n    \
        vouchsafe:v1:MEUCIQ…\n  vouchsafe transit verify transit/webhooks @body.json @body.hmac")]
    Verify(uses::VerifyArgs),
}

/// Runs one.
pub(crate) async fn run(command: TransitCommand, context: &Context) -> Result<Output> {
    match command {
        TransitCommand::Configure(args) => keys::configure(args, context).await,
        TransitCommand::Create(args) => keys::create(args, context).await,
        TransitCommand::DataKey(args) => uses::data_key(args, context).await,
        TransitCommand::Decrypt(args) => uses::decrypt(args, context).await,
        TransitCommand::Delete(args) => keys::delete(args, context).await,
        TransitCommand::Encrypt(args) => uses::encrypt(args, context).await,
        TransitCommand::Export(args) => keys::export(args, context).await,
        TransitCommand::Hmac(args) | TransitCommand::Sign(args) => uses::sign(args, context).await,
        TransitCommand::Import(args) => keys::import(args, context).await,
        TransitCommand::List(args) => keys::list(args, context).await,
        TransitCommand::Random(args) => uses::random(args, context).await,
        TransitCommand::Rewrap(args) => uses::rewrap(args, context).await,
        TransitCommand::Rotate(args) => keys::rotate(args, context).await,
        TransitCommand::Show(args) => keys::show(args, context).await,
        TransitCommand::Trim(args) => keys::trim(args, context).await,
        TransitCommand::Verify(args) => uses::verify(args, context).await,
    }
}
