use super::*;

struct Files {
    dir: tempfile::TempDir,
    cert: PathBuf,
    key: PathBuf,
}

fn files() -> Files {
    let made = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    Files { dir, cert, key }
}

#[test]
fn a_server_is_mutual_only_with_a_client_ca() {
    let files = files();
    assert!(!ServerTls::load(&files.cert, &files.key, None).unwrap().is_mutual());
    assert!(ServerTls::load(&files.cert, &files.key, Some(&files.cert)).unwrap().is_mutual());
}

#[test]
fn each_wrong_file_is_named_with_what_is_wrong() {
    let files = files();
    let absent = files.dir.path().join("absent.pem");
    let prose = files.dir.path().join("prose.txt");
    fs::write(&prose, "no pem in here").unwrap();
    let torn = files.dir.path().join("torn.pem");
    fs::write(&torn, "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n").unwrap();
    let (cert, key) = (files.cert.as_path(), files.key.as_path());
    for (cert, key, ca, wrong, text) in [
        (absent.as_path(), key, None, &absent, "cannot read the certificate file"),
        (prose.as_path(), key, None, &prose, "holds no PEM certificate"),
        (torn.as_path(), key, None, &torn, "is not valid PEM"),
        (cert, absent.as_path(), None, &absent, "cannot read the private key file"),
        (cert, cert, None, &files.cert, "holds no PEM private key"),
        (cert, key, Some(prose.as_path()), &prose, "client CA"),
    ] {
        let error = ServerTls::load(cert, key, ca).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        assert!(error.contains(&wrong.display().to_string()), "{error}");
    }
}

#[test]
fn a_key_is_in_no_debug_output() {
    let files = files();
    let server = ServerTls::load(&files.cert, &files.key, Some(&files.cert)).unwrap();
    let client = ClientTls::load(&files.cert, Some((&files.cert, &files.key))).unwrap();
    let secret = fs::read_to_string(&files.key).unwrap();
    let body = secret.lines().nth(1).unwrap();
    let shown = format!("{server:?} {client:?}");
    assert!(shown.contains("mutual: true"));
    assert!(!shown.contains(body) && !shown.contains("PRIVATE"));
}
