//! Each model is run with every order of its threads' steps.

use tower_storage_guard::__models as models;

macro_rules! run {
    ($($name:ident)*) => {
        $(#[test] fn $name() { models::$name(); })*
    };
}

run! {
    what_fits_an_account_fits_the_disk
    closed_bytes_return_once
    a_reservation_ends_once_whoever_goes_last
    a_reservation_ends_once_with_three_holders
    what_never_came_is_refunded_once
    a_failure_closes_the_resource_at_once
    tenants_get_back_what_was_not_stored
    a_parked_body_goes_with_its_response
    a_kept_slot_is_whole_for_its_next_request
    granted_bytes_are_fetched_or_given_back
    whoever_waits_is_woken
    what_is_given_back_is_not_spent
    debts_come_before_grants
    a_grant_is_never_open_to_others
    the_last_reference_removes_an_unused_tenant
    a_charged_tenant_is_not_removed
    a_referenced_tenant_is_not_removed
    a_tenant_given_back_whole_is_not_removed
}
