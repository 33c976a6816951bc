"""A model as a page: `page.js` beside its JavaScript, in `page.template.html`, and a field for each column."""
