// What takes words here takes phrases, so whoever imports this room can write them without a second import.
@_exported public import NatterLanguage
