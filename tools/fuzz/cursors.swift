// Cursors, seqs, times and ids as text. They are refused, or writing them again gives the same text.
import NatterModel

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let text = FuzzInput(start, count).text
    if let cursor = MessageCursor(text) { require(cursor.description == text, "a cursor has two forms") }
    if let cursor = StoreCursor(text) { require(cursor.description == text, "a cursor has two forms") }
    require(MessageCursor(text) == nil || StoreCursor(text) == nil, "a cursor is of two kinds")
    if let id = ConversationID(hex: text) { require(ConversationID(hex: id.description) == id, "an id has two forms") }
    if let name = try? UserName(text) {
        require(name.text.utf8.count <= 64, "a name is too long")
        require(!name.text.unicodeScalars.contains { $0.value < 0x21 || $0 == "/" || $0 == "," }, "a name is no name")
    }
    return 0
}
