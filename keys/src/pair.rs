//! Key pairs: made, stored as PKCS #8, signing, and their public half as a JWK.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, EllipticCurveKeyType,
    Jwk, KeyAlgorithm, PublicKeyUse, RSAKeyParameters, RSAKeyType, ThumbprintHash,
};
use kernel::{Secret, UnknownWord};
use serde::{Deserialize, Serialize};

use crate::KeysError;

/// A signature algorithm (RFC 7518, section 3.1). There is no other here: no `none`, no HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Alg {
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 and 2048-bit keys: what every client understands.
    #[serde(rename = "RS256")]
    Rs256,
}

impl Alg {
    /// All of them.
    pub const ALL: [Alg; 2] = [Alg::Es256, Alg::Rs256];

    /// The JOSE name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Alg::Es256 => "ES256",
            Alg::Rs256 => "RS256",
        }
    }

    pub(crate) const fn jose(self) -> jsonwebtoken::Algorithm {
        match self {
            Alg::Es256 => jsonwebtoken::Algorithm::ES256,
            Alg::Rs256 => jsonwebtoken::Algorithm::RS256,
        }
    }
}

impl fmt::Display for Alg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Alg {
    type Err = UnknownWord;
    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Alg::ALL
            .into_iter()
            .find(|alg| alg.as_str() == word)
            .ok_or_else(|| UnknownWord { word: word.into(), allowed: "ES256, RS256" })
    }
}

/// A private key and its public half.
pub(crate) enum KeyPair {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

impl KeyPair {
    /// ES256 in well under a millisecond; RS256 in 45 ms in the median and up to a third of a second: not on
    /// a thread that serves.
    pub(crate) fn generate(alg: Alg) -> Result<Self, KeysError> {
        match alg {
            Alg::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(KeyPair::Es256),
            Alg::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).map(KeyPair::Rs256),
        }
        .map_err(|_| KeysError::Crypto("making a key pair"))
    }

    /// Reads PKCS #8; checks that the private and the public half belong together.
    pub(crate) fn from_pkcs8(alg: Alg, der: &[u8]) -> Result<Self, KeysError> {
        match alg {
            Alg::Es256 => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(KeyPair::Es256),
            Alg::Rs256 => RsaKeyPair::from_pkcs8(der).map(KeyPair::Rs256),
        }
        .map_err(|_| KeysError::Crypto("reading a key pair"))
    }

    pub(crate) fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, KeysError> {
        match self {
            KeyPair::Es256(pair) => pair.to_pkcs8v1().map(|der| der.as_ref().to_vec()),
            KeyPair::Rs256(pair) => pair.as_der().map(|der| der.as_ref().to_vec()),
        }
        .map(Secret::new)
        .map_err(|_| KeysError::Crypto("writing a key pair"))
    }

    /// The signature as JWS wants it (RFC 7518, sections 3.3 and 3.4).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeysError> {
        let random = SystemRandom::new();
        match self {
            KeyPair::Es256(pair) => pair.sign(&random, message).map(|signature| signature.as_ref().to_vec()),
            KeyPair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map(|()| signature)
            }
        }
        .map_err(|_| KeysError::Crypto("signing"))
    }

    /// The public half (RFC 7517), named by its thumbprint (RFC 7638).
    pub(crate) fn public_jwk(&self) -> Jwk {
        let (alg, algorithm) = match self {
            KeyPair::Es256(pair) => (KeyAlgorithm::ES256, ec_parameters(pair.public_key().as_ref())),
            KeyPair::Rs256(pair) => {
                (KeyAlgorithm::RS256, rsa_parameters(&RsaPublicKeyComponents::from(pair.public_key())))
            }
        };
        let mut jwk = Jwk {
            common: CommonParameters {
                public_key_use: Some(PublicKeyUse::Signature),
                key_algorithm: Some(alg),
                ..CommonParameters::default()
            },
            algorithm,
        };
        jwk.common.key_id = jwk.thumbprint(ThumbprintHash::SHA256).ok();
        jwk
    }
}

/// From an uncompressed point: 4, x, y (SEC 1, section 2.3.3).
fn ec_parameters(point: &[u8]) -> AlgorithmParameters {
    let (x, y) = point.get(1..).unwrap_or_default().split_at(point.len() / 2);
    AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
        key_type: EllipticCurveKeyType::EC,
        curve: EllipticCurve::P256,
        x: URL_SAFE_NO_PAD.encode(x),
        y: URL_SAFE_NO_PAD.encode(y),
    })
}

fn rsa_parameters(public: &RsaPublicKeyComponents<Vec<u8>>) -> AlgorithmParameters {
    AlgorithmParameters::RSA(RSAKeyParameters {
        key_type: RSAKeyType::RSA,
        n: URL_SAFE_NO_PAD.encode(&public.n),
        e: URL_SAFE_NO_PAD.encode(&public.e),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_survive_being_stored() {
        for alg in Alg::ALL {
            let pair = KeyPair::generate(alg).unwrap();
            let stored = pair.to_pkcs8().unwrap();
            let read = KeyPair::from_pkcs8(alg, stored.expose()).unwrap();
            assert_eq!(read.public_jwk(), pair.public_jwk(), "{alg}");
            assert!(KeyPair::from_pkcs8(alg, &stored.expose()[1..]).is_err());
        }
        let es256 = KeyPair::generate(Alg::Es256).unwrap().to_pkcs8().unwrap();
        assert!(KeyPair::from_pkcs8(Alg::Rs256, es256.expose()).is_err(), "an algorithm's key is no other's");
    }

    #[test]
    fn a_public_key_tells_its_kind_its_use_and_its_thumbprint_and_nothing_private() {
        for (alg, fields) in [
            (Alg::Es256, ["alg", "crv", "kid", "kty", "use", "x", "y"].as_slice()),
            (Alg::Rs256, ["alg", "e", "kid", "kty", "n", "use"].as_slice()),
        ] {
            let jwk = serde_json::to_value(KeyPair::generate(alg).unwrap().public_jwk()).unwrap();
            let mut names: Vec<&str> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(names, fields);
            assert_eq!(jwk["use"], "sig");
            assert_eq!(jwk["alg"], alg.as_str());
            assert_eq!(jwk["kid"].as_str().unwrap().len(), 43);
        }
        let rsa = serde_json::to_value(KeyPair::generate(Alg::Rs256).unwrap().public_jwk()).unwrap();
        assert_eq!(rsa["e"], "AQAB");
        assert_eq!(URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap().len(), 256);
        let ec = serde_json::to_value(KeyPair::generate(Alg::Es256).unwrap().public_jwk()).unwrap();
        for coordinate in ["x", "y"] {
            assert_eq!(URL_SAFE_NO_PAD.decode(ec[coordinate].as_str().unwrap()).unwrap().len(), 32);
        }
    }

    #[test]
    fn algorithms_read_back() {
        for alg in Alg::ALL {
            assert_eq!(alg.as_str().parse(), Ok(alg));
        }
        for other in ["none", "HS256", "es256", "PS256", ""] {
            assert!(other.parse::<Alg>().is_err(), "{other}");
        }
    }
}
