//! Whether a key may sign at a time: revocation, expiry, purpose, and whether its algorithms are good enough.

use std::time::SystemTime;

use sequoia_openpgp as openpgp;
use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::cert::amalgamation::key::ValidErasedKeyAmalgamation;
use sequoia_openpgp::cert::amalgamation::{ValidAmalgamation, ValidateAmalgamation};
use sequoia_openpgp::packet::key::{PublicParts, UnspecifiedRole};
use sequoia_openpgp::packet::{Key, Signature};
use sequoia_openpgp::policy::Policy;
use sequoia_openpgp::types::RevocationStatus;

use super::policy::Anything;
use super::{Status, unix_seconds};

/// A primary key or a subkey, without its secret part.
pub(super) type AnyKey = Key<PublicParts, UnspecifiedRole>;

/// Whether the key may sign at the time.
///
/// Expiry and revocation are looked at without regard to weak algorithms first: they are the stronger verdicts, and a
/// revocation must count however old its digest is.
pub(super) fn key_standing(cert: &Cert, key: &AnyKey, policy: &dyn Policy, now: SystemTime) -> Result<(), Status> {
    let bad = |reason: &str| Status::Bad { reason: reason.into() };
    let amalgamation = || cert.keys().key_handle(key.fingerprint()).next();
    let valid = amalgamation()
        .and_then(|key| key.with_policy(&Anything, now).ok())
        .ok_or_else(|| bad("its key has no valid self-signature"))?;
    for status in [valid.valid_cert().revocation_status(), valid.revocation_status()] {
        if let RevocationStatus::Revoked(revocations) = status {
            return Err(Status::RevokedKey {
                reason: revocations
                    .first()
                    .map_or_else(String::new, |revocation| reason(revocation)),
            });
        }
    }
    alive(&valid)?;
    // Once more under the policy, which may have to go by an older self-signature with another expiry.
    match amalgamation().map(|key| key.with_policy(policy, now)) {
        Some(Ok(strict)) => {
            alive(&strict)?;
            if strict.for_signing() {
                Ok(())
            } else {
                Err(bad("its key is not for signing"))
            }
        }
        Some(Err(error)) => Err(Status::Weak {
            reason: format!("{error:#}"),
        }),
        None => Err(bad("its key has no valid self-signature")),
    }
}

fn alive(key: &ValidErasedKeyAmalgamation<'_, PublicParts>) -> Result<(), Status> {
    for alive in [key.valid_cert().alive(), key.alive()] {
        let Err(error) = alive else { continue };
        return Err(match error.downcast_ref() {
            Some(openpgp::Error::Expired(at)) => Status::ExpiredKey {
                expired: unix_seconds(*at),
            },
            _ => Status::Bad {
                reason: "its key is not valid yet".into(),
            },
        });
    }
    Ok(())
}

fn reason(revocation: &Signature) -> String {
    match revocation.reason_for_revocation() {
        Some((code, b"")) => code.to_string(),
        Some((code, text)) => {
            let text: String = String::from_utf8_lossy(text)
                .chars()
                .filter(|c| !c.is_control())
                .take(200)
                .collect();
            format!("{code}: {text}")
        }
        None => "no reason given".into(),
    }
}
