//! The repository behind OpenDAL, on moto's S3. Skipped unless `SALVOR_MOTO_SERVER` names its `moto_server`.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::*;

/// A server of objects on loopback, for as long as it lives.
struct Moto(Child, u16);

impl Moto {
    fn started() -> Option<Self> {
        let Some(program) = env::var_os("SALVOR_MOTO_SERVER") else {
            // Past the test's captured output.
            let text = b"skipped: no S3 to test with (SALVOR_MOTO_SERVER is not set)\n";
            let _ = io::stderr().write_all(text);
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Self(child, port);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        let made = moto.request("PUT /snapshots");
        assert!(made.contains("200"), "{made}");
        Some(moto)
    }

    fn request(&self, what: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.1)).unwrap();
        let host = "s3.us-east-1.amazonaws.com";
        let head = format!(
            "{what} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn store(port: u16, password: &Path) -> Store {
    let options = [
        ("bucket", "snapshots"),
        ("root", "/lab"),
        ("region", "us-east-1"),
        ("access_key_id", "key"),
        ("secret_access_key", "very secret"),
        ("retry", "off"),
    ];
    let mut options: std::collections::BTreeMap<String, String> =
        options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    options.insert("endpoint".to_owned(), format!("http://127.0.0.1:{port}"));
    Store::new(Config {
        repository: "opendal:s3".to_owned(),
        options,
        password: PasswordSource::File(password.to_owned()),
    })
}

#[tokio::test]
async fn snapshots_are_kept_in_a_bucket() {
    let Some(moto) = Moto::started() else { return };
    let lab = Lab::new();
    let password = lab.home.path().join("password");
    let lab = Lab { store: store(moto.1, &password), ..lab };
    assert!(!format!("{:?}", lab.store).contains("very secret"));
    lab.write("a", noise(3 << 20, 1));
    lab.write("d/b", "b");
    let first = lab.capture(None).await;
    assert_eq!(first.sealed.state(), State::Complete, "{:?}", first.notes);
    let second = lab.capture(Some(&first.id)).await;
    assert_eq!(second.counts.files_unchanged, 2);
    let (stored, root) = (lab.walked(&second.id).await, lab.root());
    // OpenDAL blocks on a runtime of its own, which no task may do.
    spawn_blocking(move || assert_same(&stored, &root)).await.unwrap();
    let again = store(moto.1, &password);
    assert!(again.verify(&first.id, quiet()).await.unwrap().intact);
    lab.store.delete(&first.id).await.unwrap();
    lab.store.reclaim().await.unwrap();
    assert_eq!(again.list().await.unwrap().snapshots.len(), 1);
    assert_eq!(again.get(&first.id).await, Err(StoreError::NotFound(first.id)));
    // A repository that cannot be asked is not an empty one.
    let port = moto.1;
    drop(moto);
    for store in [again, store(port, &password)] {
        let error = store.list().await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
        assert!(!error.to_string().contains("very secret"), "{error}");
    }
}
