internal import Glibc
internal import NatterCommandLine
internal import NatterModel

/// `chat [CONV]`: what `log -f` prints, above a line to type in.
enum ChatCommand {
    static let spec = CommandSpec(
        "chat", "read and write in one window", group: NatterProgram.Group.writing,
        operands: [.optional("CONV", "the conversation (default 'general'); '@bob' is the one with bob")],
        description: [
            "Print the newest messages of a conversation and then what arrives, as 'natter log -f' does, above a line in "
                + "which you type. Enter sends the text; Alt-Enter, or Esc and then Enter, begins a new line. Several pasted "
                + "lines become one text, which only Enter sends. '/quit' or Ctrl-D on an empty line leaves. natter marks the "
                + "messages that you have seen as read when you send something and at the end.",
            "A line that begins with '/' is a command: '/help' or '/quit'. Anything else that begins so is refused, because "
                + "it is meant for another program. A second '/' or a space before it makes it a text.",
            "Tab completes names. Up on an empty line lets you edit your last message; Down leaves it as it is. "
                + "The keys are those of emacs and bash.",
            "Before the line stand the number of unread messages in other conversations and whether the server is "
                + "reached. A message that can't be sent now waits in the outbox; see 'natter help outbox'.",
            "It needs a terminal. In a pipe use 'natter log -f' and 'natter send'.",
        ],
        examples: [
            Example("natter chat", "talk in 'general'"), Example("natter chat @bob", "talk with bob"),
        ],
        run: inContext { context in
            let (arguments, console) = (context.arguments, context.console)
            if arguments.flag("json") { throw arguments.error("chat is for people; use 'natter log -f --json'") }
            let name = console.environment["TERM"]
            guard Terminal.isTerminal(STDIN_FILENO), console.output.isTerminal, name != nil, name != "dumb" else {
                throw arguments.error("chat needs a terminal; in a pipe use 'natter log -f' and 'natter send'")
            }
            return try Chat(context, conversation: arguments.operand("CONV") ?? NameRule.general).run()
        })
}
