//! A path that does not exist is found when the guard is built.

use tower_storage_guard::{BuildErrorKind, Resource, StorageGuardLayer};

#[test]
fn a_missing_directory_is_named_when_the_layer_is_built() {
    let error = StorageGuardLayer::for_path("/no/such/directory").expect_err("there is none");
    assert_eq!(error.kind(), BuildErrorKind::FirstMeasurement);
    assert!(error.to_string().contains("/no/such/directory"), "{error}");
}

#[test]
fn a_directory_inside_of_a_file_is_named_too() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().join("inside");
    let error = Resource::disk(&path).build().expect_err("a file has no inside");
    assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
}
