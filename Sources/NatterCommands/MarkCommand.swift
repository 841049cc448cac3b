internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterWire

/// `mark [CONV [SEQ]]`: says what has been read.
enum MarkCommand {
    static let spec = CommandSpec(
        "mark", "mark as read", group: NatterProgram.Group.reading,
        operands: [
            .optional("CONV", "the conversation; all of them unless named"),
            .optional("SEQ", "up to this message; up to the newest in the replica unless given"),
        ],
        description: [
            "Marks messages as read, on the server, so that all of a user's machines know. The mark only rises. What has "
                + "not been synced yet has not been read."
        ],
        examples: [
            Example("natter mark", "all that is here has been read"), Example("natter mark @bob 17", "up to bob's 17"),
        ],
        run: run)

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let seq = try arguments.operand("SEQ").map {
            Seq(UInt64(try arguments.integer($0, of: "SEQ", in: 1...Int64.max)))
        }
        let mirror = try Mirror(context)
        let api = try mirror.api()
        if let name = arguments.operand("CONV") {
            let target = try seq ?? newest(name, mirror, api)
            try report(name, try api.markRead(name, upTo: target), context)
            return .success
        }
        guard let replica = try mirror.replica() else { return .success }
        for conversation in try replica.conversations() where conversation.head > conversation.read {
            try report(conversation.name, try api.markRead(conversation.name, upTo: conversation.head), context)
        }
        return .success
    }

    /// The newest message that its reader can have seen.
    private static func newest(_ name: String, _ mirror: Mirror, _ api: ServerAPI) throws -> Seq {
        if let known = try mirror.replica()?.conversation(named: name) { return known.head }
        return Seq(try api.conversation(name).head)
    }

    private struct Mark: Encodable {
        var conversation: String
        var read: UInt64
    }

    private static func report(_ name: String, _ read: Seq, _ context: Context) throws {
        if context.wantsJSON {
            try context.console.output.writeJSON(WireJSON.encode(Mark(conversation: name, read: read.rawValue)))
            try context.console.output.flush()
        }
        context.confirm("'\(name)' is read up to \(read)")
    }
}
