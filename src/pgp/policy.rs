//! Which algorithms are good enough, and for whom: for verifying, for signing, and for the `apt` of our clients.

use sequoia_openpgp::cert::amalgamation::key::ValidErasedKeyAmalgamation;
use sequoia_openpgp::packet::key::PublicParts;
use sequoia_openpgp::packet::{Packet, Signature, Tag};
use sequoia_openpgp::policy::{AsymmetricAlgorithm, HashAlgoSecurity, Policy, StandardPolicy};
use sequoia_openpgp::types::HashAlgorithm;

use super::{Tolerance, system_time};

// The first day of each, in Unix seconds.
const FEBRUARY_2024: i64 = 1_706_745_600;
const FEBRUARY_2026: i64 = 1_769_904_000;
const FEBRUARY_2028: i64 = 1_832_976_000;
const FEBRUARY_2030: i64 = 1_896_134_400;

/// Takes every algorithm: for facts that hold whatever a key is worth, such as that it is revoked. Never enough to
/// accept a signature.
#[derive(Debug)]
pub(super) struct Anything;

impl Policy for Anything {
    fn signature(&self, _signature: &Signature, _security: HashAlgoSecurity) -> sequoia_openpgp::Result<()> {
        Ok(())
    }

    fn key(&self, _key: &ValidErasedKeyAmalgamation<'_, PublicParts>) -> sequoia_openpgp::Result<()> {
        Ok(())
    }

    fn packet(&self, _packet: &Packet) -> sequoia_openpgp::Result<()> {
        Ok(())
    }
}

/// The policy under which a signature is verified.
pub(super) fn verifying(now: i64, tolerance: Option<Tolerance>) -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::at(system_time(now));
    if tolerance.is_some() {
        tolerate_weak_key(&mut policy);
    }
    if tolerance == Some(Tolerance::Sha1Signatures) {
        policy.accept_hash(HashAlgorithm::SHA1);
    }
    policy
}

/// The policy under which our own keys sign. An old weak key goes on signing, since old clients may know no other;
/// what newer ones think of it is for `key check` to say.
pub(super) fn signing(now: i64) -> StandardPolicy<'static> {
    verifying(now, Some(Tolerance::WeakKey))
}

fn tolerate_weak_key(policy: &mut StandardPolicy<'static>) {
    use AsymmetricAlgorithm::{DSA1024, DSA2048, DSA3072, DSA4096, RSA1024, RSA2048};
    policy.accept_hash_property(HashAlgorithm::SHA1, HashAlgoSecurity::SecondPreImageResistance);
    for algorithm in [RSA1024, RSA2048, DSA1024, DSA2048, DSA3072, DSA4096] {
        policy.accept_asymmetric_algo(algorithm);
    }
}

/// What `sqv` applies for apt 3.0: sequoia's own policy as changed by apt's `/usr/share/apt/default-sequoia.config`.
pub(super) fn apt_3(now: i64) -> StandardPolicy<'static> {
    use AsymmetricAlgorithm::{BrainpoolP256, BrainpoolP384, BrainpoolP512, DSA2048, DSA3072, DSA4096, RSA2048};
    let mut policy = StandardPolicy::at(system_time(now));
    for algorithm in [DSA2048, DSA3072, DSA4096] {
        policy.reject_asymmetric_algo_at(algorithm, system_time(FEBRUARY_2024));
    }
    for algorithm in [BrainpoolP256, BrainpoolP384, BrainpoolP512] {
        policy.reject_asymmetric_algo_at(algorithm, system_time(FEBRUARY_2028));
    }
    policy.reject_asymmetric_algo_at(RSA2048, system_time(FEBRUARY_2030));
    policy.reject_hash_property_at(
        HashAlgorithm::SHA1,
        HashAlgoSecurity::SecondPreImageResistance,
        system_time(FEBRUARY_2026),
    );
    policy.reject_hash_at(HashAlgorithm::SHA224, system_time(FEBRUARY_2026));
    policy.reject_packet_tag_version_at(Tag::Signature, 3, system_time(FEBRUARY_2026));
    policy
}
