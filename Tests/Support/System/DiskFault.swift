import TestSupport

/// A trouble of a disk: from a certain call on, or at it alone.
package struct DiskFault: Sendable {
    package enum Call: String, Sendable, CaseIterable {
        case open, create, makeDirectory, write, truncate, sync, syncDirectory, rename, remove, read, list
    }

    /// The calls that it is about, counted together from 1.
    package var calls: Set<Call>
    /// Files and directories that it is about; nil for all.
    package var pathPart: String?
    package var number: Int
    package var code: Int32
    /// Whether all later ones fail, too.
    package var lasts: Bool
    /// Whether a part of a write arrives before it fails.
    package var isPartial = true
    /// Whether it is the process that ends there: what was written before stays as it is, and may be synced later.
    package var isKill = false

    package init(
        _ calls: Set<Call>, in pathPart: String? = nil, number: Int = 1, code: Int32, lasts: Bool
    ) {
        (self.calls, self.pathPart, self.number, self.code, self.lasts) = (calls, pathPart, number, code, lasts)
    }

    /// All that changes something.
    package static let changes: Set<Call> = [
        .create, .makeDirectory, .write, .truncate, .sync, .syncDirectory, .rename, .remove,
    ]
}
