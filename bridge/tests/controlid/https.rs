//! HTTPS to devices: the certificate that is named and no other, from whoever has its key.

use std::sync::Arc;

use bridge::conformance::run;
use bridge::connector::{self, AccessPointAddress, Connector, ConnectorError, Version};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use serde_json::json;

use crate::building::{Building, IDS, desired, number, opening};

/// What a device made for itself.
struct Made {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Made {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["device".to_owned()]).expect("a name");
        // It did not know how it would be reached, and its clock was never set.
        (params.not_before, params.not_after) = (date_time_ymd(1970, 1, 2), date_time_ymd(2000, 1, 1));
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        Self { certificate, key }
    }

    /// Made without the code that is tried.
    fn fingerprint(&self) -> String {
        kernel::sha256(&self.certificate).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn presented(&self, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
        self.presented_with(&self.key, version)
    }

    /// The certificate with whatever key: nobody here compares the two.
    fn presented_with(&self, key: &KeyPair, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = aws_lc_rs::sign::any_supported_type(&key).expect("a key to sign with");
        let pair = CertifiedKey::new(vec![self.certificate.clone()], key);
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .expect("a version that aws-lc speaks")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        Arc::new(config)
    }
}

/// A card is asked for, and nothing is said to whoever is there: no password, no card.
async fn refused(building: &Building, connector: &dyn Connector) -> ConnectorError {
    let granted = connector.apply(&desired(building.wish(1), 1, opening(&["a"]))).await;
    assert!(building.devices.iter().all(|device| device.counters().requests == 0), "it was asked something");
    granted.expect_err("nobody that is meant answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn over_https_the_connector_keeps_every_rule() {
    let made = Made::new();
    let building = Building::over_tls(&made.presented(&TLS13), made.fingerprint()).await;
    let broken = run(&building).await;
    assert!(broken.is_empty(), "{}", broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn over_either_version_of_tls_a_card_is_granted_read_and_revoked() {
    for version in [&TLS12, &TLS13] {
        let made = Made::new();
        let building = Building::over_tls(&made.presented(version), made.fingerprint()).await;
        let (connector, wish, want) = (building.connector(), building.wish(1), opening(&["a", "c"]));
        connector.apply(&desired(wish, 1, want.clone())).await.expect("granted");
        assert!(connector.read_back(&wish.1).await.expect("read").meets(&want), "{version:?}");
        assert!(building.devices[0].swipe(1, number(&wish.1)).await.opened, "{version:?}");
        let health = connector.health().await;
        assert!(health.is_well(), "{version:?}: {health:?}");
        let version = Version { credential: wish.0, number: 2 };
        connector.revoke(&wish.1, Some(version)).await.expect("revoked");
        assert!(connector.read_back(&wish.1).await.expect("read").is_absent());
    }
}

#[tokio::test]
async fn another_certificate_is_told_nothing_and_shown_as_it_can_be_entered() {
    let (made, named) = (Made::new(), Made::new());
    let mut building = Building::over_tls(&made.presented(&TLS13), named.fingerprint()).await;
    let error = refused(&building, &*building.connector()).await;
    assert!(matches!(error, ConnectorError::Protocol { .. }), "{error:?}");
    let words = error.to_string();
    assert!(words.contains(&made.fingerprint()) && words.contains(&named.fingerprint()), "{words}");
    // The first of the two is what was presented.
    let shown = words.split([' ', ',']).find(|word| word.len() == 64).expect("a fingerprint").to_owned();
    building.certificate = Some(shown);
    let wish = building.wish(1);
    building.connector().apply(&desired(wish, 1, opening(&["a"]))).await.expect("granted");
}

#[tokio::test]
async fn a_certificate_that_changed_is_told_as_why_a_device_is_out_of_reach() {
    let (made, anew) = (Made::new(), Made::new());
    let tls = made.presented(&TLS13);
    let building = Building::over_tls(&tls, made.fingerprint()).await;
    let (connector, wish) = (building.connector(), building.wish(1));
    connector.apply(&desired(wish, 1, opening(&["a", "c"]))).await.expect("granted");
    building.devices[0].present(anew.presented(&TLS13));
    let health = connector.health().await;
    let why = health.units[0].unreachable.clone().expect("out of reach");
    assert!(why.contains(&anew.fingerprint()) && why.contains(&made.fingerprint()), "{why}");
    assert_eq!(health.units[1].unreachable, None);
    let version = Version { credential: wish.0, number: 2 };
    let error = connector.revoke(&wish.1, Some(version)).await.expect_err("not revoked there");
    let missing: [AccessPointAddress; 2] = ["a".into(), "b".into()];
    assert_eq!(error.missing(), missing);
    assert!(error.is_passing() && error.to_string().contains(&anew.fingerprint()), "{error}");
    assert!(building.devices[0].holds(number(&wish.1)) && !building.devices[1].holds(number(&wish.1)));
    building.devices[0].present(tls);
    connector.revoke(&wish.1, Some(version)).await.expect("revoked");
    assert!(connector.read_back(&wish.1).await.expect("read").is_absent());
    assert!(connector.health().await.is_well());
}

#[tokio::test]
async fn a_copy_of_the_certificate_without_its_key_is_told_nothing() {
    let (made, thief) = (Made::new(), Made::new());
    for version in [&TLS12, &TLS13] {
        let copied = made.presented_with(&thief.key, version);
        let building = Building::over_tls(&copied, made.fingerprint()).await;
        let error = refused(&building, &*building.connector()).await;
        assert!(error.to_string().contains("BadSignature"), "{version:?}: {error}");
    }
}

#[tokio::test]
async fn at_an_https_address_nobody_is_asked_in_clear() {
    let building = Building::open().await;
    let device = json!({
        "device_id": IDS[0],
        "url": format!("https://{}", building.devices[0].address()),
        "certificate_sha256": Made::new().fingerprint(),
        "portals": {"1": "a"},
    });
    let connector = building.connector_with(&json!({ "devices": [device] }));
    let error = refused(&building, &*connector).await;
    assert!(matches!(error, ConnectorError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_said_of_a_door_system_names_the_way_to_it() {
    let made = Made::new();
    let secure = Building::over_tls(&made.presented(&TLS13), made.fingerprint()).await;
    for (building, way) in
        [(Building::open().await, "HTTP without TLS"), (secure, "Devices call us over HTTP")]
    {
        let limits = building.connector().descriptor().limits;
        assert!(limits.iter().any(|limit| limit.starts_with(way)), "{way}: {limits:?}");
        let described = connector::described("controlid", &building.config(&json!({})));
        assert_eq!(described.map(|it| it.limits), Some(limits));
    }
}
