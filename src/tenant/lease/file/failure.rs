use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// A failed operation of redb.
#[derive(Debug)]
pub(super) enum Failure {
    Error(Box<redb::Error>),
    /// Assertions of redb fail on some damaged files.
    Panicked(String),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(Box::new(error.into()))
    }
}

/// A database that is not a ledger of this format.
#[derive(Clone, Copy, Debug)]
pub(super) enum Foreign {
    /// Another version of this library made it.
    Format(u32),
    /// Another program made it.
    Stranger,
}

/// Runs `work` and turns a panic into a failure.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(Failure::Panicked(words(&*payload))))
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_database_is_a_failure_in_its_words() {
        let told = |work: fn()| match guarded(|| {
            work();
            Ok(())
        }) {
            Err(Failure::Panicked(words)) => words,
            other => panic!("{other:?}"),
        };
        assert_eq!(told(|| panic!("page 7")), "page 7");
        assert_eq!(told(|| panic!("page {}", 3 + 4)), "page 7");
        assert_eq!(told(|| std::panic::panic_any(7)), "");
        assert!(matches!(guarded(|| Ok(7)), Ok(7)));
    }
}
