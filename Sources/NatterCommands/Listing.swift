internal import NatterCommandLine
internal import NatterModel
internal import NatterProtocol

/// One column of a list of objects.
struct Column<Object> {
    let heading: Phrase
    let alignment: Table.Column
    let cell: (Object) -> String

    init(_ heading: Phrase, _ alignment: Table.Column = .left, _ cell: @escaping (Object) -> String) {
        (self.heading, self.alignment, self.cell) = (heading, alignment, cell)
    }
}

extension Context {
    /// Prints objects. With `--json` it prints one per line, otherwise a table, which has headings on a terminal.
    func list<Object: Encodable>(_ objects: [Object], _ columns: [Column<Object>]) throws {
        if wantsJSON {
            for object in objects { try writeJSON(object) }
            return
        }
        let output = console.output
        var table = Table(columns.map(\.alignment), header: output.isTerminal ? columns.map(\.heading) : nil)
        for object in objects { table.add(columns.map { $0.cell(object) }) }
        try table.write(to: output, paint: paint)
    }

    /// Prints users with their names, whether they are online, and their last visits.
    func list(_ users: [UserObject]) throws {
        var columns: [Column<UserObject>] = [
            Column("NAME") { $0.name }, Column("STATE") { presence($0.online) },
            Column("LAST SEEN") { age($0.lastSeen) },
        ]
        // Programs that read the table from a pipe know three columns.
        if console.output.isTerminal { columns.append(Column("DISPLAY NAME") { $0.display ?? "" }) }
        try list(users, columns)
    }

    /// Prints an object if `--json` was given.
    ///
    /// - Returns: true if it was given.
    @discardableResult
    func writeJSON<Object: Encodable>(_ object: Object) throws -> Bool {
        guard wantsJSON else { return false }
        try console.output.writeJSON(WireJSON.encode(object))
        return true
    }

    /// Prints what the server shows only once.
    ///
    /// - Parameter made: what was made, and how to undo it.
    func printOnce(_ object: some Encodable, _ secret: String, orSay made: Phrase) throws {
        do {
            if try !writeJSON(object) { try console.output.writeLine(TerminalText.escaped(secret)) }
            try console.output.flush()
        } catch let error as OutputError {
            throw CommandFailure(.inputOutput, code: "io_error", "\(made): \(error.phrase)")
        }
    }

    func presence(_ isOnline: Bool) -> String { console.output.word(isOnline ? "online" : "offline") }

    /// An age on a terminal, RFC 3339 in a pipe. It is empty for nil.
    func age(_ time: String?) -> String {
        shown(time) { Age.text(of: $0, now: now).text }
    }

    /// Local time on a terminal, RFC 3339 in a pipe. It is empty for nil.
    func localTime(_ time: String?) -> String { shown(time, LocalTime.text) }

    private func shown(_ time: String?, _ text: (Timestamp) -> String) -> String {
        guard console.output.isTerminal, let moment = time.flatMap({ Timestamp(rfc3339: $0) }) else {
            return time ?? ""
        }
        return text(moment)
    }
}

extension Arguments {
    /// The number of a message, from an operand.
    func seq(_ text: String) throws(UsageError) -> Seq {
        Seq(UInt64(try integer(text, of: "SEQ", in: 1...Int64.max)))
    }
}
