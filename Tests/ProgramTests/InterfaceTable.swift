internal import Foundation
internal import Testing
internal import TestSupport

/// Each line of the public interface, as far as it is built, and the tests that hold the programs to it.
enum InterfaceTable {
    /// The statement, and the tests by suite and function; those of other targets by target and suite.
    static let rows: [(String, String)] = [
        // Words and limits
        ("names: what is and what is none", "AccountTests.names AccountTests.refusedRegistration"),
        ("text and id: their limits", "SendTests.limits SendTests.refused SendTests.emptyArgument"),
        ("password: 8–1,024 bytes", "AccountTests.refusedRegistration"),
        ("cursor: opaque, of its place, survives restarts", "CursorFileTests.once CursorFileTests.bad"),
        ("replica: of a store and a user; a new address keeps it", "AccountTests.anotherLogin SyncTests.newAddress"),
        // natter: options everywhere
        ("--home, NATTER_HOME, XDG_DATA_HOME", "UsageTests.home"),
        ("--server, NATTER_SERVER, the profile's", "UsageTests.server UsageTests.badServer"),
        ("--profile, NATTER_PROFILE", "AccountTests.profiles"),
        ("--token-file, NATTER_TOKEN_FILE", "AccountTests.tokenFile"),
        (
            "--offline",
            "LogTests.serverDown UsersTests.offline SearchTests.plain AccountTests.whoamiOffline SendTests.noServer"
        ),
        ("--quiet, --verbose", "LogTests.serverDown UsageTests.verbosity"),
        ("--json", "SendTests.json LogTests.json UsersTests.plain SearchTests.queries UsageTests.jsonErrors"),
        ("--color, NO_COLOR", "UsageTests.color"),
        ("--lang, config lang, LANGUAGE, LC_ALL, LC_MESSAGES, LANG", "LanguageTests.precedence LanguageTests.unknown"),
        ("--version, --help, natter alone, help CMD", "UsageTests.version UsageTests.overview UsageTests.help"),
        (
            "options before or after the command, '=', '--', values that begin with '-'",
            "UsageTests.placement SendTests.dashes"
        ),
        ("a misspelt command gets the nearest ones", "UsageTests.misspelt"),
        ("no password or token over plain HTTP to another host", "AccountTests.insecure"),
        ("--insecure", "AccountTests.insecure"),
        ("--ca-file, and no certificate that is not verified", "NatterHTTPTests/TLSTests"),
        (
            "--timeout",
            "StatusTests.badConfig NatterCommandsTests/ConfigCommandTests NatterCommandsTests/DoctorCommandTests"
        ),
        // natter: commands
        (
            "register: password from file or standard input, never an argument",
            "AccountTests.register AccountTests.noPrompt"
        ),
        ("login, logout, logout --all", "AccountTests.sessions AccountTests.logoutAlone AccountTests.anotherLogin"),
        (
            "passwd: revokes other sessions",
            "StatusTests.passwd StatusTests.passwdRefused NatterCLITests/PasswordInputTests"
        ),
        ("whoami", "AccountTests.register AccountTests.names AccountTests.whoamiOffline"),
        ("send: words, -c, prints nothing in a pipe", "SendTests.words"),
        ("send: standard input, '-', a final newline dropped", "SendTests.standardInput"),
        ("send --id", "SendTests.identity"),
        ("send --json: the message", "SendTests.json"),
        (
            "send --lines, with --id KEY:n",
            "QueueTests.lines NatterClientTests/LineTests NatterClientTests/InputLinesTests NatterClientTests/BrokenConnectionTests"
        ),
        (
            "send --ndjson: stops at the first refused line, 65, naming it",
            "QueueTests.objects NatterClientTests/LineTests"
        ),
        (
            "send --queue: kept durably, delivered in order by any later command",
            "QueueTests.queue NatterClientTests/OutboxTests NatterClientTests/ProcessTests NatterClientTests/BrokenConnectionTests"
        ),
        (
            "outbox ls, retry, drop; a refused one is parked with its reason",
            "QueueTests.parked NatterClientTests/OutboxTests"
        ),
        ("send: not logged in, unknown, no server", "SendTests.notLoggedIn SendTests.unknown SendTests.noServer"),
        ("pm USER", "SendTests.personal"),
        ("log: general unless named, oldest first, after a sync", "LogTests.plain LogTests.unknown"),
        (
            "log -n, --after, --before, --since, --until, --from, --around, --reverse",
            "LogTests.selections LogTests.usage"
        ),
        (
            "log --unread",
            "ConversationsTests.unread ConversationsTests.nothingUnread ConversationsTests.usage"
        ),
        ("log --mark", "ConversationsTests.mark ConversationsTests.markEverything ConversationsTests.usage"),
        ("log --all", "LogTests.all CursorFileTests.all FollowTests.all"),
        ("log -f", "FollowTests.follow FollowTests.newOnly FollowTests.comesBack FollowTests.closedPipe"),
        ("log --cursor-file", "CursorFileTests.once CursorFileTests.number CursorFileTests.follow"),
        ("log --exit-code, --format", "LogTests.exitCode LogTests.format"),
        (
            "log: never a hole that is not stated; a newest page from the server",
            "LogTests.manyMessages DamageTests.flipped"
        ),
        ("log: server not reached", "LogTests.serverDown"),
        ("users, PATTERN, --online, --recent", "UsersTests.plain UsersTests.pattern UsersTests.online"),
        ("users not reached: as last fetched, with its age", "UsersTests.offline"),
        (
            "search: words, phrase, prefix, negation, filters",
            "SearchTests.queries SearchTests.usage SearchTests.unknown"
        ),
        ("search: in the replica, never wrong", "SearchTests.plain SearchTests.fresh"),
        ("sync, --wait, --exit-code, CONV…", "SyncTests.pull SyncTests.wait SyncTests.named SyncTests.interrupted"),
        ("sync --since: a replica may begin late, and says so", "SyncTests.late NatterStoreTests/SyncTests"),
        ("colours, day lines, own messages told apart", "TerminalTests.log NatterCommandsTests/MessagePrinterTests"),
        ("search --regex, --substring", "NatterCommandsTests/PatternSearchTests"),
        ("status: account, server, last sync, unread, what waits", "StatusTests.status"),
        ("status --short", "StatusTests.short"),
        ("doctor: 1 with a finding", "StatusTests.doctor NatterCommandsTests/DoctorCommandTests"),
        (
            "verify: against checksums and the server's head hash",
            "ExportTests.whole ExportTests.damaged NatterCommandsTests/VerifyCommandTests"
        ),
        (
            "ls: unread count and last message",
            "ConversationsTests.list ConversationsTests.listObjects ConversationsTests.listAlone"
        ),
        (
            "mark: what has been read, kept on the server",
            "ConversationsTests.markAll ConversationsTests.markOne ConversationsTests.markRefused ConversationsTests.markAlone"
        ),
        (
            "watch --exec: after the first start, fields, exit 0 moves on",
            "WatchTests.fields WatchTests.time WatchTests.named WatchTests.again WatchTests.goesOn"
        ),
        (
            "wrap: status, duration, end of output, exits with its code",
            "WatchTests.status WatchTests.output WatchTests.alone"
        ),
        (
            "group create, delete, rename, add, remove, promote, demote, members, join, leave",
            "GroupTests.create GroupTests.several GroupTests.admins GroupTests.open GroupTests.rename GroupTests.deleted"
        ),
        ("group: only admins change one; who is removed reads nothing after", "GroupTests.refused GroupTests.removed"),
        ("group: the last admin can neither leave nor be demoted: 77", "GroupTests.refused GroupTests.opposite"),
        ("contact add, remove, ls; whoever writes one becomes one", "ContactTests.contacts ContactTests.added"),
        ("block, unblock: personal messages are refused to them", "ContactTests.block ContactTests.refused"),
        ("sending to who is not there says so", "ContactTests.away"),
        ("token create: --label, --scope, --expires; the last word printed", "TokenTests.secret TokenTests.refused"),
        ("token: of a scope, by file, under env -i, and nothing else", "TokenTests.send TokenTests.read"),
        ("token ls, revoke; sessions", "TokenTests.ends TokenTests.sessions"),
        ("admin user add, disable, enable, passwd, promote, demote", "AdminTests.accounts AdminTests.disabled"),
        ("admin users, sessions, stats", "AdminTests.lists AdminTests.refused AdminTests.wrong"),
        ("admin invite, register --invite", "AdminTests.invitations"),
        ("admin log, -f", "AdminTests.log AdminTests.follow"),
        ("export: seq, ts, sender, text", "ExportTests.export ExportTests.kinds ExportTests.damaged"),
        ("serve", "ServeTests.natterServe"),
        ("completion bash, zsh, fish", "StatusTests.completion NatterCLITests/CompletionTests"),
        ("config get, set", "StatusTests.config StatusTests.badConfig NatterCommandsTests/ConfigCommandTests"),
        ("the tables of commands and the man pages agree", "NatterCommandsTests/ManualTests"),
        // Output
        ("a line of log in a pipe; further lines begin with a tab", "LogTests.plain LogTests.all SearchTests.plain"),
        (
            "control characters escaped for people, exact in --json and --format",
            "LogTests.controlCharacters UsageTests.escapedErrors"
        ),
        ("--json: the objects of the API", "SendTests.json LogTests.importedFlag"),
        // --cursor-file
        (
            "replaced atomically after the output, also when empty",
            "CursorFileTests.replacedWhenEmpty CursorFileTests.fullOutput CursorFileTests.kills"
        ),
        ("a filter never makes it miss or repeat", "CursorFileTests.filters"),
        ("bad, foreign, of --all and not: 65, F stays", "CursorFileTests.bad"),
        // Exit codes
        ("0 and 1", "LogTests.exitCode SearchTests.queries UsersTests.pattern SyncTests.pull DamageTests.flipped"),
        (
            "64",
            "UsageTests.usage UsageTests.notUTF8 LogTests.usage SearchTests.usage ServeTests.usage AccountTests.noPrompt"
        ),
        ("65", "SendTests.refused CursorFileTests.bad ImportTests.badLine ImportTests.badName"),
        ("67", "LogTests.unknown SendTests.unknown SearchTests.unknown ImportTests.personalExport"),
        ("69", "SendTests.noServer LogTests.serverDown AccountTests.logoutAlone"),
        ("73", "CursorFileTests.cannotCreate FileTests.badHome ServeTests.cannotCreate"),
        ("74", "FileTests.fullOutput CursorFileTests.fullOutput ImportTests.sent DamageTests.flipped"),
        ("75", "ServeTests.second ServeTests.portTaken"),
        ("76", "UsageTests.otherServer"),
        ("77", "AccountTests.sessions AccountTests.exposedToken SendTests.notLoggedIn"),
        ("78", "UsageTests.badServer FileTests.badHome ServeTests.publicAddress ServeTests.configuration"),
        ("130, and silent on a closed pipe", "FollowTests.follow SyncTests.interrupted FileTests.fullOutput"),
        ("an error is one line, with --json one object on standard error", "UsageTests.jsonErrors UsageTests.usage"),
        // Files
        ("0600 and 0700 under any umask", "FileTests.modes FileTests.serverModes"),
        ("a token with wider modes, and links, are refused", "AccountTests.exposedToken"),
        (
            "concurrent commands on one home",
            "ConcurrencyTests.thirtyTwo ConcurrencyTests.cursorFile ConcurrencyTests.logins"
        ),
        (
            "a kill at any moment",
            "CrashTests.server CrashTests.importing CrashTests.registering SyncTests.kills CursorFileTests.kills"
        ),
        ("works under env -i, never prompts without a terminal", "UsageTests.emptyEnvironment AccountTests.noPrompt"),
        // natterd
        ("--data before or after the command, NATTERD_DATA and the defaults", "ServeTests.dataDirectory"),
        ("natterd.conf, SIGHUP", "ServeTests.configuration ServeTests.reload"),
        ("serve prints where it listens; port 0", "ServeTests.stop ServeTests.six ServeTests.closedOutput"),
        (
            "an address that is not loopback: 78 without --behind-proxy",
            "ServeTests.publicAddress ServeTests.badAddress NetworkTests.openNetwork"
        ),
        (
            "--tls-cert, --tls-key: 1.2 and up; bad files are 78",
            "TLSTests.versions TLSTests.badFiles TLSTests.otherKeys TLSTests.readers NatterServerTests/TLSTests"
        ),
        ("SIGHUP reloads the certificate and cuts nobody off", "TLSTests.reload NatterServerTests/TLSTests"),
        ("tls-self-signed", "TLSTests.household"),
        ("a certificate that is not verified: 69", "TLSTests.household TLSTests.refused"),
        ("nginx in front", "ProxyTests.nginx"),
        (
            "--behind-proxy: X-Forwarded-For of these alone",
            "NetworkTests.visits NetworkTests.metrics NatterServerTests/ForwardedForTests"
        ),
        ("--registration open, closed, invite", "NetworkTests.registration NetworkTests.invite"),
        ("GET /: the web page, with a Content-Security-Policy; --no-web", "NetworkTests.page NetworkTests.noPage"),
        ("a second server: 75", "ServeTests.second"),
        (
            "with or without a running server: user add, list, passwd, disable, enable, promote, demote",
            "OperateTests.add OperateTests.lists OperateTests.sessions OperateTests.disabledWhileWaiting OperateTests.admins"
        ),
        ("clients: login, last visit, last address; newest first", "OperateTests.lists"),
        ("natterd status", "OperateTests.status"),
        (
            "natterd export, import while the server runs",
            "OperateTests.bulk OperateTests.killedCommand OperateTests.importAmongOthers"
        ),
        ("import: a new private group gets its members from an admin of the server", "OperateTests.importedGroup"),
        (
            "DIR/natterd.sock",
            "OperateTests.socket OperateTests.longPath OperateTests.atOnce OperateTests.noise OperateTests.stranger OperateTests.killedCommand"
        ),
        ("fsck: 0 clean, 1 damage, each with file, offset, range", "DamageTests.clean DamageTests.flipped"),
        (
            "fsck --repair",
            "BackupTests.repair NatterStoreTests/RepairTests NatterStoreTests/ReindexTests"
        ),
        (
            "backup DEST, while the server runs; restore SRC",
            "BackupTests.whileWriting BackupTests.killed NatterStoreTests/BackupTests"
        ),
        (
            "a restored server: a client ahead of it compares, keeps its surplus aside, and offers its own again",
            "RestoreTests.clients RestoreTests.equal"
        ),
        ("reindex: from the logs alone", "BackupTests.reindex NatterStoreTests/ReindexTests"),
        ("SIGTERM, SIGINT: finish what is in flight, exit 0", "ServeTests.stop ServeTests.stopWhileWaiting"),
        ("logs to standard error; never a password, token or text", "ServeTests.log TLSTests.log"),
        ("fsck; export of what is whole, 74", "DamageTests.clean DamageTests.flipped DamageTests.lost"),
        (
            "import keeps ts, sender, text; '-'; seq ignored",
            "ImportTests.roundTrip ImportTests.tolerance ImportTests.noFile"
        ),
        (
            "import: times may go back, not lie over a day ahead; empty texts",
            "ImportTests.roundTrip ImportTests.ahead ImportTests.badLine"
        ),
        ("import: a bad line is 65, its number, nothing kept", "ImportTests.badLine ImportTests.notUTF8"),
        ("imported messages say so", "LogTests.importedFlag ImportTests.roundTrip"),
        ("export", "ImportTests.roundTrip ImportTests.personalExport ImportTests.sent"),
        ("the whole corpus in and out again, and its bytes on the disk", "CorpusTests.wholeCorpus CorpusTests.sample"),
        // The HTTP API
        ("bad input to every request: status, code, reason, nothing changed", "RequestTests.refused"),
    ]
}

@Suite("the table of the interface")
struct InterfaceTableTests {
    @Test("names tests that exist")
    func table() throws {
        let named = Set(InterfaceTable.rows.flatMap { $0.1.split(separator: " ").map(String.init) })
        #expect(try named.subtracting(KnownTests.names()).isEmpty)
    }
}

/// The tests of this checkout, as the tables name them.
enum KnownTests {
    /// `SuiteTests.function` of the programs' tests, `Target/SuiteTests` of all.
    static func names() throws -> Set<String> {
        let tests = "\(Programs.packageRoot)/Tests"
        var found: Set<String> = []
        for path in Files.below("\(tests)/ProgramTests") where path.hasSuffix("Tests.swift") {
            let suite = String(try #require(path.split(separator: "/").last).dropLast(".swift".count))
            for match in try #require(Files.text(path)).matches(of: /\n    func (\w+)\(/) {
                found.insert("\(suite).\(match.1)")
            }
        }
        for path in Files.below(tests) where path.hasSuffix("Tests.swift") {
            let target = String(try #require(path.dropFirst(tests.count).split(separator: "/").first))
            for match in try #require(Files.text(path)).matches(of: /\nstruct (\w+Tests)\b/) {
                found.insert("\(target)/\(match.1)")
            }
        }
        return found
    }
}
