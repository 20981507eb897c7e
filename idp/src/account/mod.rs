//! What a person sees of the own account, and ends.

/// The overview.
pub(crate) const PATH: &str = "/account";
/// What one signs in with.
pub(crate) const METHODS: &str = "/account/methods";
/// Where one is signed in.
pub(crate) const SESSIONS: &str = "/account/sessions";
/// To which applications.
pub(crate) const APPS: &str = "/account/apps";
/// What one carries to doors.
pub(crate) const BADGE: &str = "/account/badge";
/// What happened.
pub(crate) const ACTIVITY: &str = "/account/activity";
