-- Run once, at the primary, as its superuser.
CREATE ROLE "mic-mail" LOGIN PASSWORD '${MAIL_PASSWORD}';
CREATE DATABASE mail OWNER "mic-mail" TEMPLATE template0 ENCODING UTF8 LOCALE 'C.UTF-8';
