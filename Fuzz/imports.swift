// Histories of other programs: Slack, Telegram, mail, logs of chats, also inside zip files. Whatever a file holds, its
// reader ends, and what it finds has an id that an import can store.
import Glibc
import NatterImport
import NatterLanguage
import NatterModel

/// The file that holds the input, unnamed, made once.
private let descriptor: Int32 = {
    var template = Array("/tmp/natter-fuzz-imports-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    require(descriptor >= 0, "cannot make a file in /tmp")
    unlink(template)
    return descriptor
}()

private final class Sink: HistorySink {
    func take(_ message: ForeignMessage, channel: String, part: String) throws {
        require(message.id?.utf8.allSatisfy { $0 < 0x80 } ?? true, "an id is not ASCII")
        require(message.answers?.utf8.allSatisfy { $0 < 0x80 } ?? true, "an answer's id is not ASCII")
    }

    func settle(_ channel: ForeignChannel) throws {
        require((1...2).contains(channel.people?.count ?? 1), "a chat of \(channel.people?.count ?? 0) people")
    }

    func skip(_ kind: String, count: Int) { require(count >= 0, "\(count) of \(kind)") }
    func note(_ text: Phrase) {}
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    var input = FuzzInput(start, count)
    let format = ForeignFormat.allCases[Int(input.byte()) % ForeignFormat.allCases.count]
    let bytes = input.bytes
    require(ftruncate(descriptor, 0) == 0, "cannot empty the file")
    require(pwrite(descriptor, bytes, bytes.count, 0) == bytes.count, "cannot write the file")
    let copy = dup(descriptor)
    require(copy >= 0, "no descriptor is left")
    try? format.read(ForeignFile(path: "export.log", descriptor: copy), into: Sink())
    return 0
}
