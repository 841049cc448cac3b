/// A fault of a disk, at one call or from one call on.
package struct DiskFault: Sendable {
    package enum Call: String, Sendable, CaseIterable {
        case open, create, makeDirectory, write, truncate, sync, syncDirectory, rename, remove, read, list
    }

    /// The affected calls. They are counted together, from 1.
    package var calls: Set<Call>
    /// A part of the paths of affected files and directories, or nil for all.
    package var pathPart: String?
    package var number: Int
    package var code: Int32
    /// Whether all later calls fail, too.
    package var lasts: Bool
    /// Whether a part of a write reaches the file before it fails.
    package var isPartial = true
    /// Whether the process ends there. Earlier writes remain and may be synced later.
    package var isKill = false

    package init(
        _ calls: Set<Call>, in pathPart: String? = nil, number: Int = 1, code: Int32, lasts: Bool
    ) {
        (self.calls, self.pathPart, self.number, self.code, self.lasts) = (calls, pathPart, number, code, lasts)
    }

    /// All calls that change a file or directory.
    package static let changes: Set<Call> = [
        .create, .makeDirectory, .write, .truncate, .sync, .syncDirectory, .rename, .remove,
    ]
}
