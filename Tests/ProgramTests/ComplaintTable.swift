internal import Testing
internal import TestSupport

/// Complaints of users of similar tools, and what prevents them here: tests, or a reason.
///
/// Gathered from the issue trackers of ntfy, signal-cli, matrix-commander, wacli, journalctl, zulip, kcat and others.
enum ComplaintTable {
    enum Answer {
        case tests(String)
        case cannotHappen(String)
        /// Which parts are tested.
        case partly(String, String)
    }

    static let rows: [(String, Answer)] = [
        (
            "the client loses messages across a reconnect",
            .tests("FollowTests.comesBack SyncTests.kills NatterClientTests/FaultTests NatterClientTests/SyncTests")
        ),
        (
            "what was acknowledged before it was handled is lost",
            .tests("CursorFileTests.fullOutput CursorFileTests.kills WatchTests.again CrashTests.server")
        ),
        (
            "cursor files: silent exits, never updated with -f, empty is an error, a filter eats an entry, a future one",
            .tests(
                "CursorFileTests.once CursorFileTests.follow CursorFileTests.replacedWhenEmpty CursorFileTests.filters "
                    + "CursorFileTests.bad")
        ),
        (
            "pages lie: filters shorten them and clients stop",
            .tests("NatterServerTests/PageTests NatterStoreTests/PageTests")
        ),
        (
            "a cursor over insertions misses what else happens",
            .partly(
                "SyncTests.pull NatterStoreTests/SyncTests NatterServerTests/SyncTests",
                "joins, renames, read marks and departures come by the same cursor; there are no edits to miss")
        ),
        (
            "a repeated send sends twice",
            .tests("SendTests.identity NatterClientTests/BrokenConnectionTests NatterStoreTests/PostingTests")
        ),
        (
            "no queue while offline, or one that later messages pass",
            .tests("QueueTests.queue QueueTests.parked NatterClientTests/OutboxTests NatterClientTests/ProcessTests")
        ),
        (
            "success is reported where there was none",
            .tests(
                "SendTests.noServer FileTests.fullOutput CrashTests.server NatterStoreTests/FaultTests WatchTests.status"
            )
        ),
        (
            "starting up takes longer than the work",
            .cannotHappen(
                "a command is one static program that opens what it needs: bench/run measures it against curl, and "
                    + "'send' never syncs first")
        ),
        (
            "reading the newest messages costs as much as the history is long",
            .partly(
                "LogTests.manyMessages CorpusTests.wholeCorpus",
                "blocks are found by an index, from either end; bench/run has the time over 207,739 messages")
        ),
        (
            "commands at the same time block or damage each other",
            .tests("ConcurrencyTests.thirtyTwo ConcurrencyTests.cursorFile NatterClientTests/ProcessTests")
        ),
        (
            "'database is locked' under load",
            .tests("ConcurrencyTests.thirtyTwo NatterClientTests/ConcurrencyTests NatterServerTests/BulkTests")
        ),
        (
            "a text steers the terminal, or forges output",
            .tests(
                "LogTests.controlCharacters LogTests.plain UsageTests.escapedErrors TerminalTests.log "
                    + "NatterCLITests/TerminalTextTests")
        ),
        (
            "secrets and texts on the command line",
            .tests("AccountTests.noPrompt SendTests.standardInput NatterCLITests/PasswordInputTests ServeTests.log")
        ),
        (
            "JSON differs from command to command",
            .tests(
                "LogTests.json SendTests.json ConversationsTests.listObjects UsageTests.jsonErrors ExportTests.kinds")
        ),
        (
            "cron wants silence, and nothing assumed",
            .tests("UsageTests.emptyEnvironment SendTests.words AccountTests.noPrompt AccountTests.tokenFile")
        ),
        (
            "limits of rate are left to scripts, or look like something else",
            .tests("AccountTests.slowDown NatterServerTests/LoginLimitTests")
        ),
        (
            "no search, or one that does not find what is there",
            .tests("SearchTests.queries SearchTests.fresh NatterSearchTests/PropertyTests StatusTests.doctor")
        ),
        (
            "nothing can be deleted, changed or expired",
            .cannotHappen(
                "a conversation is append-only: what was said stays, and groups can be deleted whole; nothing pretends to "
                    + "have freed a disk")
        ),
        (
            "a backup that cannot be restored, or holds the server up",
            .tests("CorpusTests.wholeCorpus ImportTests.roundTrip NatterStoreTests/RecoveryTests")
        ),
        (
            "times without a zone, or in several",
            .tests("LogTests.plain LogTests.json LogTests.format ExportTests.export NatterCLITests/TimeTests")
        ),
        (
            "what is old is shown as if it were new; history ends without a word",
            .tests("LogTests.serverDown StatusTests.status SyncTests.late DamageTests.flipped UsersTests.offline")
        ),
    ]
}

@Suite("the table of complaints")
struct ComplaintTableTests {
    @Test("answers each of them, by tests that exist")
    func table() throws {
        #expect(ComplaintTable.rows.count == 22)
        let named = ComplaintTable.rows.flatMap { row -> [String] in
            switch row.1 {
            case .tests(let names), .partly(let names, _): names.split(separator: " ").map(String.init)
            case .cannotHappen: []
            }
        }
        #expect(try Set(named).subtracting(KnownTests.names()).isEmpty)
    }
}
