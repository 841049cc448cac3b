internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol
internal import NatterSystem

/// `get CONV SEQ`: fetches the files of a message, or all files.
enum GetCommand {
    static let spec = CommandSpec(
        "get", "fetch the files of a message", group: NatterProgram.Group.reading,
        options: [
            .option(
                "output", short: "o", value: "F", "write the file to F; '-' is standard output",
                long: "The message has one file then."),
            .option("to", value: "DIR", "write files into DIR, which natter makes if it is not there"),
            .flag("force", short: "f", "replace files that are there already"),
            .flag(
                "all", "fetch the files of all messages of CONV, or of all conversations",
                long:
                    "A file that is there already with the same bytes is not fetched again, and one whose name another has "
                    + "taken gets its message's number before it, as '812-build.log'."),
            .option(
                "since", value: "TIME", "with --all, only those of messages from TIME on",
                long: "See TIMES in natter(1)."),
        ],
        operands: [
            .optional("CONV", "the conversation (default 'general')"),
            .optional("SEQ", "the number of the message; 'last' is the newest, '-2' the one before it"),
        ],
        description: [
            "Fetch the files that came with a message into this directory, under their names. natter verifies the bytes, "
                + "replaces no file without --force, and continues a fetch that was cut. A dot at the beginning of a name "
                + "becomes '_'. Files that 'natter sync --files' has fetched need no server.",
            "The exit status is 67 if the message has no file, 73 if the name is taken, and 74 if the bytes are not those "
                + "that were sent.",
        ],
        examples: [
            Example("natter get ops 812", "fetch the files of message 812 of 'ops'"),
            Example("natter get -c ops last -o - | less", "read the file of the last message"),
            Example("natter get --all --since yesterday --to logs ops", "fetch what came since yesterday"),
        ], run: run)

    private static let run: CommandBody = inContext { context in
        let arguments = context.arguments
        let (output, isAll) = (arguments.value("output"), arguments.flag("all"))
        if output != nil, isAll || arguments.has("to") {
            throw arguments.error("-o names one file; leave out \(isAll ? "--all" : "--to")")
        }
        if output == "-", context.console.output.isTerminal {
            throw arguments.error("'-o -' gives the bytes as they are, which a terminal can't show; redirect it")
        }
        var (name, word) = (arguments.operand("CONV"), arguments.operand("SEQ"))
        guard isAll else {
            if arguments.has("since") { throw arguments.error("--since goes with --all") }
            if word == nil { (name, word) = (nil, name) }
            guard let word else { throw arguments.error("SEQ is missing: the number of the message") }
            return try get(word, of: name ?? NameRule.general, to: output, context)
        }
        if word != nil { throw arguments.error("--all takes all messages; leave out SEQ") }
        return try getAll(of: name, since: arguments.time("since", now: context.now), context)
    }

    private static func get(
        _ word: String, of name: String, to output: String?, _ context: Context
    ) throws -> ExitCode {
        let seq = try context.seq(word, in: name)
        let synced = try SyncedReplica(context)
        let state = try synced.refresh(.completely)
        let replica = try synced.replica(after: state)
        let known = try synced.conversation(named: name, in: replica, state)
        guard let conversation = known, let message = try replica.message(seq, in: conversation, folds: true) else {
            throw CommandFailure.noMessage(seq, in: name, known)
        }
        guard !message.files.isEmpty, !message.isDeleted else {
            throw CommandFailure(
                .notFound, code: "no_file",
                message.isDeleted || message.isErased
                    ? "message \(seq) of '\(name)' was deleted" : "message \(seq) of '\(name)' has no file")
        }
        if output != nil, message.files.count > 1 {
            throw context.arguments.error("message \(seq) has \(message.files.count) files; give --to instead of -o")
        }
        let fetch = try FileFetch(synced, replica)
        for file in message.files {
            let file = Replica.MessageFile(conversation: conversation, seq: seq, record: file)
            switch output {
            case "-": try fetch.write(file)
            case let path?: try fetch.save(file, as: path)
            case nil: try fetch.save(file, as: fetch.path(of: file.record))
            }
        }
        return .success
    }

    private static func getAll(of name: String?, since: Timestamp?, _ context: Context) throws -> ExitCode {
        let synced = try SyncedReplica(context)
        let state = try synced.refresh(.completely)
        let replica = try synced.replica(after: state)
        let conversations =
            try name.map { try synced.conversation(named: $0, in: replica, state).map { [$0] } ?? [] }
            ?? replica.conversations()
        let fetch = try FileFetch(synced, replica)
        var count = 0
        for conversation in conversations {
            for file in try replica.files(of: conversation, since: since) where try fetch.saveBesideOthers(file) {
                count += 1
            }
        }
        context.confirm(.plural(count, "\(count) file fetched", "\(count) files fetched"))
        return .success
    }
}

/// Fetches files of messages for a user, from the replica if it has them.
private struct FileFetch {
    private let synced: SyncedReplica
    private let replica: Replica
    private let context: Context
    private let directory: String
    private let meter: ProgressLine

    init(_ synced: SyncedReplica, _ replica: Replica) throws {
        (self.synced, self.replica, context) = (synced, replica, synced.context)
        meter = ProgressLine(context)
        directory = context.arguments.value("to") ?? "."
        if directory != "." { try PosixDisk().makeDirectories(directory) }
    }

    /// The place of a file under its own name. It is no hidden file: what a stranger sends must not become a setting.
    func path(of record: FileRecord, prefix: String = "") -> String {
        let name = record.name.hasPrefix(".") ? "_" + record.name.dropFirst() : record.name
        return "\(directory)/\(prefix)\(name)"
    }

    func write(_ file: Replica.MessageFile) throws {
        let output = context.console.output
        try source(of: file).write { bytes in try output.append { $0.append(contentsOf: bytes) } }
        try output.flush()
    }

    func save(_ file: Replica.MessageFile, as path: String) throws {
        try source(of: file).save(as: path, replaces: context.arguments.flag("force"))
        meter.clear()
        try tell(file, path)
    }

    /// Saves a file of many.
    ///
    /// - Returns: false if it is there already.
    func saveBesideOthers(_ file: Replica.MessageFile) throws -> Bool {
        for prefix in ["", "\(file.seq)-"] {
            let path = path(of: file.record, prefix: prefix)
            if FileDownload.has(path, bytesOf: file.record) { return false }
            do { try save(file, as: path) } catch FileDownload.Failure.taken where prefix.isEmpty { continue }
            break
        }
        return true
    }

    private func source(of file: Replica.MessageFile) throws -> FileDownload {
        let kept = replica.hasBytes(of: file.record) ? replica.path(of: file.record) : nil
        return FileDownload(file.record, from: kept == nil ? try synced.api() : nil, keptAt: kept) { [meter] done in
            meter.show(done, of: file.record.size)
        }
    }

    private func tell(_ file: Replica.MessageFile, _ path: String) throws {
        let shown = path.hasPrefix("./") ? String(path.dropFirst(2)) : path
        if context.wantsJSON {
            try context.writeJSON(FetchedFile(file, path: shown))
        } else {
            context.confirm("'\(shown)': \(FileWords.size(file.record.size))")
        }
    }
}

/// A file that was fetched, as shown by `--json`.
private struct FetchedFile: Encodable {
    let conversation: String
    let seq: UInt64
    let id: String
    let name: String
    let path: String
    let size: UInt64
    let type: String

    init(_ file: Replica.MessageFile, path: String) {
        (conversation, seq, self.path) = (file.conversation.name, file.seq.rawValue, path)
        (id, name) = (file.record.id.description, file.record.name)
        (size, type) = (file.record.size, file.record.type)
    }
}
