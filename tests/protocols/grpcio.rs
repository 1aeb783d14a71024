//! gRPC's own core, by way of Python's grpcio.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use serde_json::{Value, json};
use tower_storage_guard::{Floor, Reason, Resource};

use super::{
    MIB,
    grpc::guard,
    small_disk,
    uploads::{serve, stored},
};

const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_refusals_of_all_kinds() {
    let Some(disk) = small_disk() else { return };
    let python = match tokio::task::spawn_blocking(python).await.expect("it ends") {
        Ok(python) => python,
        Err(why) => return println!("skipped: no grpcio: {why}"),
    };
    let resource = Resource::disk(disk.path()).floor(Floor::bytes(MIB)).build();
    let resource = resource.expect("measured");
    let address = serve(disk.path(), guard(resource.clone())).await;
    let refused = |reason: Reason| json!({"code": "RESOURCE_EXHAUSTED", "message": reason.as_str()});

    assert_eq!(upload(python, address, 1, 10, None).await, [json!({"code": "OK"})]);
    resource.sample_now().expect("measured");
    let outcomes = upload(python, address, ROUNDS, 64, None).await;
    assert_eq!(outcomes, vec![refused(Reason::Space); ROUNDS], "in the middle");
    assert_eq!(stored(disk.path()).expect("readable"), 10 * MIB);

    // What is really sent would fit.
    let outcomes = upload(python, address, ROUNDS, 1, Some(12 * MIB)).await;
    assert_eq!(outcomes, vec![refused(Reason::Space); ROUNDS], "before it begins");
    let outcomes = upload(python, address, 1, 1, Some(1 << 40)).await;
    assert_eq!(outcomes, [refused(Reason::ExceedsCapacity)]);
}

async fn upload(
    python: &'static Path,
    address: SocketAddr,
    rounds: usize,
    mebibytes: usize,
    length: Option<u64>,
) -> Vec<Value> {
    let output = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocols/upload.py"))
            .args([address.to_string(), rounds.to_string(), mebibytes.to_string()])
            .args(length.map(|length| length.to_string()))
            // grpcio heeds them also for this machine.
            .env_remove("http_proxy")
            .env_remove("https_proxy")
            .env_remove("grpc_proxy")
            .output()
            .expect("Python runs")
    });
    let output = output.await.expect("it ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    lines.lines().map(|line| line.parse().expect("JSON")).collect()
}

/// A Python that has grpcio: the system's, or one with a copy beside the build, which is made once.
fn python() -> Result<&'static Path, &'static str> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| {
        let system = PathBuf::from("python3");
        if has_grpcio(&system) {
            return Ok(system);
        }
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpcio");
        let own = dir.join("bin/python");
        if !has_grpcio(&own) {
            run(Command::new(&system).args(["-m", "venv"]).arg(&dir))?;
            run(Command::new(&own).args(["-m", "pip", "install", "--quiet", "--timeout", "15", "grpcio"]))?;
        }
        Ok(own)
    });
    python.as_deref().map_err(|why| &**why)
}

fn has_grpcio(python: &Path) -> bool {
    run(Command::new(python).args(["-c", "import grpc"])).is_ok()
}

fn run(command: &mut Command) -> Result<Output, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output);
    }
    Err(text(&output.stderr).lines().last().unwrap_or_default().to_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
