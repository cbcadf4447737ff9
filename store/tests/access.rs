//! The way into a real etcd: certificates, users, and what is said if it is barred.

#![expect(clippy::unwrap_used, reason = "tests say what went wrong by it")]

mod etcd;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use etcd::{Server, Tls};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use skep_shell::{ClusterStore as _, Row};
use skep_store::{Access, AccessError, Campaign, Etcd, EtcdError, User};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

const LEASE: Duration = Duration::from_secs(2);

/// An authority, and the folder of what it signed.
struct Ca {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for this machine, good for both ends: etcd's gateway calls etcd with its own.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate: Certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")));
        fs::write(&files.0, certificate.pem()).unwrap();
        fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    fn server(&self) -> Server {
        let (certificate, key) = self.sign("etcd");
        let ca = self.file("ca.pem");
        Server::start_tls(Tls { ca: &ca, certificate: &certificate, key: &key })
    }
}

fn access(ca: &Path, identity: Option<(PathBuf, PathBuf)>) -> Access {
    Access { ca: Some(ca.into()), identity, user: None }
}

fn etcd(address: &str, access: &Access) -> Etcd {
    address.parse::<Etcd>().unwrap().with(access).unwrap()
}

fn as_user(server: &Server, name: &str, password: &str) -> Etcd {
    let user = User { name: name.into(), password: password.into() };
    etcd(&server.address(), &Access { user: Some(user), ..Access::default() })
}

/// Users are asked for from now on: `skep` may use the keys below its name, `guest` nothing.
fn ask_for_users(server: &Server) {
    let post = |path, body: &str| {
        let answer = server.post(path, body);
        assert!(answer.contains(" 200 "), "{path}: {answer}");
    };
    for user in ["root", "skep", "guest"] {
        post("auth/user/add", &format!(r#"{{"name":"{user}","password":"{user}-secret"}}"#));
    }
    for role in ["root", "skep"] {
        post("auth/role/add", &format!(r#"{{"name":"{role}"}}"#));
        post("auth/user/grant", &format!(r#"{{"user":"{role}","role":"{role}"}}"#));
    }
    let (from, to) = (STANDARD.encode("skep/"), STANDARD.encode("skep0"));
    let keys = format!(r#"{{"permType":"READWRITE","key":"{from}","range_end":"{to}"}}"#);
    post("auth/role/grant", &format!(r#"{{"name":"skep","perm":{keys}}}"#));
    post("auth/enable", "{}");
}

fn write_and_read(etcd: &Etcd) {
    let Campaign::Elected(leadership) = etcd.campaign("here:1", LEASE).unwrap() else {
        panic!("nobody else leads")
    };
    let mut store = leadership.store();
    store.read().unwrap();
    store.write(vec![Row::put("a".into(), &1)]).unwrap();
    assert_eq!(leadership.store().read().unwrap(), [("a".into(), b"1".to_vec())]);
    leadership.resign();
}

#[test]
fn certificates_of_both_sides_open_the_way() {
    let ca = Ca::new();
    let server = ca.server();
    let access = access(&ca.file("ca.pem"), Some(ca.sign("master")));
    write_and_read(&etcd(&server.tls_address(), &access));
}

#[test]
fn an_etcd_that_another_authority_vouches_for_is_not_trusted() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = ca.server();
    let access = access(&other.file("ca.pem"), Some(ca.sign("master")));
    let error = etcd(&server.tls_address(), &access).kept("x").unwrap_err();
    assert!(matches!(error, EtcdError::Untrusted { .. }), "{error:?}");
    // Not told whom to trust, it trusts nobody.
    let error = server.tls_address().parse::<Etcd>().unwrap().kept("x").unwrap_err();
    assert!(matches!(error, EtcdError::Untrusted { .. }), "{error:?}");
}

#[test]
fn without_a_certificate_that_etcd_trusts_the_way_is_barred() {
    let (ca, other) = (Ca::new(), Ca::new());
    let server = ca.server();
    for identity in [None, Some(other.sign("master"))] {
        let access = access(&ca.file("ca.pem"), identity);
        let error = etcd(&server.tls_address(), &access).kept("x").unwrap_err();
        assert!(matches!(error, EtcdError::Unwelcome { .. }), "{error:?}");
    }
}

#[test]
fn a_member_that_is_not_trusted_is_passed_over() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (server, not_trusted) = (ca.server(), other.server());
    let access = access(&ca.file("ca.pem"), Some(ca.sign("master")));
    let both = format!("{},{}", not_trusted.tls_address(), server.tls_address());
    let etcd = etcd(&both, &access);
    assert_eq!(etcd.keep("x", b"1").unwrap(), b"1");
    assert_eq!(etcd.kept("x").unwrap().unwrap(), b"1");
    drop(server);
    // The other may come back: that the one is not trusted is not the end.
    let error = etcd.kept("x").unwrap_err();
    assert!(matches!(error, EtcdError::Silent { .. }), "{error:?}");
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let ca = Ca::new();
    let (certificate, key) = ca.sign("master");
    let (_, another_key) = ca.sign("another");
    let address = || "https://127.0.0.1:1".parse::<Etcd>().unwrap();
    let file_of = |access: &Access| match address().with(access).unwrap_err() {
        AccessError::File { path, .. } => path,
        error => panic!("{error:?}"),
    };
    let good = ca.file("ca.pem");
    assert_eq!(file_of(&access(&key, None)), key);
    assert_eq!(file_of(&access(&ca.file("none.pem"), None)), ca.file("none.pem"));
    let crossed = access(&good, Some((certificate.clone(), another_key.clone())));
    assert_eq!(file_of(&crossed), another_key);
    let swapped = access(&good, Some((key.clone(), certificate)));
    assert_eq!(file_of(&swapped), key);

    let none = address().with(&Access::default()).unwrap_err();
    assert!(matches!(none, AccessError::NoAuthority), "{none:?}");
    let plain = "http://127.0.0.1:1".parse::<Etcd>().unwrap();
    let error = plain.with(&access(&good, None)).unwrap_err();
    assert!(matches!(error, AccessError::NoTls), "{error:?}");
}

#[test]
fn a_user_with_its_password_and_a_role_gets_in() {
    let server = Server::start();
    ask_for_users(&server);
    write_and_read(&as_user(&server, "skep", "skep-secret"));
}

#[test]
fn who_is_not_known_is_told_so() {
    let server = Server::start();
    ask_for_users(&server);
    for (name, password) in [("skep", "wrong"), ("nobody", "skep-secret")] {
        let error = as_user(&server, name, password).kept("x").unwrap_err();
        let EtcdError::WrongPassword { user, .. } = error else { panic!("{error:?}") };
        assert_eq!(user, name);
    }
    let error = etcd(&server.address(), &Access::default()).kept("x").unwrap_err();
    assert!(matches!(error, EtcdError::NoUser { .. }), "{error:?}");
}

#[test]
fn a_user_without_the_role_is_denied() {
    let server = Server::start();
    ask_for_users(&server);
    let error = as_user(&server, "guest", "guest-secret").kept("x").unwrap_err();
    let EtcdError::Denied { user, .. } = error else { panic!("{error:?}") };
    assert_eq!(user, "guest");
}

#[test]
fn a_token_that_etcd_has_forgotten_is_had_anew() {
    let server = Server::start();
    ask_for_users(&server);
    let etcd = as_user(&server, "skep", "skep-secret");
    assert_eq!(etcd.keep("x", b"1").unwrap(), b"1");
    // All tokens of a user end when its password is set, as they do in time.
    let root = server.post("auth/authenticate", r#"{"name":"root","password":"root-secret"}"#);
    let token = root.split_once(r#""token":""#).unwrap().1.split('"').next().unwrap();
    let set = r#"{"name":"skep","password":"skep-secret"}"#;
    let answer = server.post_as(token, "auth/user/changepw", set);
    assert!(answer.contains(" 200 "), "{answer}");
    assert_eq!(etcd.kept("x").unwrap().unwrap(), b"1");
    assert_eq!(etcd.keep("y", b"2").unwrap(), b"2");
}
