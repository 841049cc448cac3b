internal import NatterCrypto
internal import NatterSQLite
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// A conversation's part of the replica on its way to `diverged/<id>-<time>/`: its log files as they are, and its tail as
/// blocks one after the other.
///
/// First the tail is copied, then the rows are erased together with the cursor, then the files are moved. A crash before the
/// last step leaves files that no row names; the next sync adopts them, finds them diverged and begins again.
struct ReplicaAside {
    let report: SyncReport.Diverged
    private let number: Int64
    private let id: ConversationID
    private let tail: [TailRow]
    private let session: ReplicaSession

    init(_ conversation: WritableConversation, session: ReplicaSession) throws {
        (number, id, self.session) = (conversation.number, conversation.id, session)
        tail = try conversation.tailRows(on: session.connection)
        let base = "\(session.location.divergedDirectory)/\(id)-\(session.clock.now().milliseconds)"
        var directory = base
        var attempt = 1
        while try session.disk.information(directory) != nil {
            directory = "\(base).\(attempt)"
            attempt += 1
        }
        report = SyncReport.Diverged(
            name: conversation.name, id: id, head: conversation.head, directory: directory)
    }

    func keepTail() throws {
        try session.disk.makeDirectories(report.directory)
        guard !tail.isEmpty else { return }
        let file = try session.disk.open(report.directory + "/tail.blocks", .create)
        try file.write(tail.flatMap(\.data), at: 0)
        try file.sync()
        try session.disk.syncDirectory(report.directory)
    }

    func erase(on connection: Connection) throws { try WritableConversation.erase(number, on: connection) }

    func moveLogs() throws {
        let logs = session.location.directory + "/" + Segment.directory(of: id)
        guard try session.disk.information(logs) != nil else { return }
        try session.disk.rename(logs, to: report.directory + "/logs")
        try session.disk.syncDirectory(report.directory)
        try session.disk.syncDirectory(Path.directory(of: logs))
    }
}
