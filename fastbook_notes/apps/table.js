// A field of a table for people. Spreadsheets compute what begins like a formula, so an apostrophe goes before it (OWASP, "CSV Injection").
const isFormula = (text) => /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text) && Number.isNaN(Number(text));
const tableField = (value) => {
  const text = isFormula(`${value}`) ? `'${value}` : `${value}`;
  return /[",;\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
